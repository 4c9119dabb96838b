import { library } from "@infllm/tsup-preset";

export default library({ entry: ["src/index.ts", "src/testing.ts"] });
