/** A backend may fulfil the contract in part: one with selection alone passes the cases of what it claims. */
import { runConformance } from "@infllm/conformance";
import { referenceBackend } from "../src/reference/index.ts";

await runConformance({
  name: "reference, selection only",
  create: () => {
    const { neural: _neural, attention: _attention, ...rest } = referenceBackend();
    return { ...rest, capabilities: { ...rest.capabilities, ops: ["selection"] } };
  },
});
