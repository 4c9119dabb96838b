import { library } from "@infllm/tsup-preset";

export default library({ entry: { index: "src/index.ts", methods: "src/methods/index.ts" } });
