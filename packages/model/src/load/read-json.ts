import { FormatError } from "@infllm/tensor";
import { isJsonObject } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";
import type { ModelFiles } from "../formats/model-files.ts";

/** Tokenizers of large vocabularies take some 30 MB; more than this is no model's JSON or text file. */
const LARGEST = 256 * 2 ** 20;

/** The text of a file, or undefined when there is none. @throws FormatError for a file of unreasonable size */
export async function readText(files: ModelFiles, path: string): Promise<string | undefined> {
  if (!(await files.list()).includes(path)) return undefined;
  const source = await files.open(path);
  try {
    if (source.size > LARGEST) {
      throw new FormatError(`${source.name} has ${source.size} bytes; at most ${LARGEST} are read. It is not the file its name promises.`);
    }
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}

/** The object in a JSON file, or undefined when there is none. @throws FormatError */
export async function readJson(files: ModelFiles, path: string): Promise<JsonObject | undefined> {
  const text = await readText(files, path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${path} of ${files.name} is no valid JSON: ${String(error)}. Fetch the file again.`, { cause: error });
  }
  if (isJsonObject(value)) return value;
  throw new FormatError(`${path} of ${files.name} holds ${JSON.stringify(value)?.slice(0, 40)}; a JSON object is needed.`);
}
