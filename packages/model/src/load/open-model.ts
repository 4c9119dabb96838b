import { openModelFiles } from "../formats/model-files.ts";
import type { ModelFiles, ModelFilesOptions } from "../formats/model-files.ts";
import { openWeights } from "../formats/weight-source.ts";
import { openGgufModel } from "./open-gguf.ts";
import { openHf } from "./open-hf.ts";
import type { OpenedModel } from "./opened-model.ts";

/** Reads and checks the headers and configs of a model. Closing the result closes the files. */
export async function openModel(source: string | ModelFiles, options: ModelFilesOptions = {}): Promise<OpenedModel> {
  const files = typeof source === "string" ? await openModelFiles(source, options) : source;
  try {
    const weights = await openWeights(files);
    const close = async () => {
      await weights.close();
      await files.close();
    };
    try {
      const opened =
        weights.gguf === undefined ? await openHf(files, weights) : await openGgufModel(files, weights, weights.gguf);
      return { ...opened, close };
    } catch (error) {
      await weights.close();
      throw error;
    }
  } catch (error) {
    await files.close();
    throw error;
  }
}
