import { library } from "@infllm/tsup-preset";

export default library({ entry: { index: "src/index.ts", measure: "src/measure/index.ts", methods: "src/methods/index.ts" } });
