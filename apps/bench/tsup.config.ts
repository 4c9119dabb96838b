import { library } from "@infllm/tsup-preset";

export default library({ entry: ["src/cli.ts"] });
