import { runConformance } from "@infllm/conformance";
import { referenceBackend } from "../src/reference/index.ts";

await runConformance({ name: "plain reference", create: () => referenceBackend(), bitwiseChunks: true });
