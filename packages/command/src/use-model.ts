/** Loads a model with progress, lends it to `work`, and puts everything away whatever happens. */
import type { SparseConfig } from "@infllm/block-selection";
import type { CacheDType } from "@infllm/tensor";
import { inspectModel, loadModel, type LoadProgress, type Model } from "@infllm/model";
import { openBackend } from "./backends.ts";
import type { Io } from "./io.ts";
import { checkOverrides } from "./sparse-options.ts";
import { Progress } from "./terminal/progress.ts";

export interface UseModelOptions {
  readonly model: string;
  readonly backend: string;
  readonly threads?: number | undefined;
  readonly contextLength?: number | undefined;
  readonly sparse?: Partial<SparseConfig> | undefined;
  readonly kvCache?: CacheDType | undefined;
}

export async function useModel<T>(options: UseModelOptions, io: Io, work: (model: Model) => Promise<T>): Promise<T> {
  const { signal } = io.interrupts;
  const backend = await openBackend(options.backend, { threads: options.threads });
  const progress = new Progress(io.stderr);
  const onProgress = (state: LoadProgress): void => showLoading(progress, state);
  try {
    const { contextLength, sparse, kvCache } = options;
    if (sparse) checkOverrides((await inspectModel(options.model, { onProgress, signal })).sparse, sparse);
    const loading = loadModel(options.model, { backend, contextLength, sparse, kvCache, onProgress, signal });
    const model = await loading.finally(() => progress.clear());
    try {
      return await work(model);
    } finally {
      await model.close();
    }
  } finally {
    progress.clear();
    await backend.close();
  }
}

export function showLoading(progress: Progress, { stage, name, done, total }: LoadProgress): void {
  progress.update(stage === "download" ? `Downloading ${name}` : `Loading ${name}`, done, total, "bytes");
}
