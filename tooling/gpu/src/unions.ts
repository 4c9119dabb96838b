/** How much selections of neighbouring tokens overlap in the embedded model: mean sizes of their unions over a novel. */
import { cudaBackend } from "@infllm/backend-cuda";
import { inspectModel } from "@infllm/model";
import { embeddedSelections, overlap } from "./selections.ts";

const LENGTH = 16384;

export async function unions(): Promise<{ report: unknown; ok: boolean }> {
  const { sparse, layers } = await inspectModel("embedded");
  if (sparse === undefined) throw new Error("The embedded model has no sparse config.");
  const backend = await cudaBackend();
  const selections = (await embeddedSelections(backend, LENGTH, sparse, layers - 1)).flat();
  await backend.close();
  const report = { model: "embedded", tokens: LENGTH, ...overlap(selections) };
  console.log(JSON.stringify(report));
  return { report, ok: selections.length > 0 };
}
