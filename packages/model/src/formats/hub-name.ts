import { ConfigError, NotAvailableError } from "@infllm/tensor";

/** A parsed `hf:` name. */
export interface HubName {
  /** `org/name` */
  readonly repo: string;
  readonly revision: string;
  /** A path inside the repository, such as `sub/model-Q4_K_M.gguf`. */
  readonly file?: string;
  /** Picks the GGUF file that ends in it, such as `Q4_K_M`. */
  readonly quantization?: string;
}

const FORM = "hf:org/name, hf:org/name:Q4_K_M or hf:org/name/file.gguf, each with an optional @revision";

/** @throws ConfigError */
export function parseHubName(source: string): HubName {
  const refuse = (why: string): never => {
    throw new ConfigError(`"${source}" ${why}; the form is ${FORM}.`);
  };
  const [, org, name, file, quantization, revision] =
    /^hf:([\w.-]+)\/([\w.-]+)(?:\/([^@:]+)|:([\w.-]+))?(?:@([\w./-]+))?$/.exec(source) ?? refuse("is no hub name");
  const parts = [org, name, ...(file ?? "").split("/"), ...(revision ?? "").split("/")];
  if (parts.some((part) => part === "." || part === "..")) refuse("has a part of dots");
  if (file !== undefined && !file.endsWith(".gguf")) refuse("names a file that is no .gguf");
  return {
    repo: `${org}/${name}`,
    revision: revision ?? "main",
    ...(file === undefined ? {} : { file }),
    ...(quantization === undefined ? {} : { quantization }),
  };
}

/** What is read of a model in Hugging Face's layout besides its weights. */
const companions = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
];

/**
 * The files needed out of all in the repository: one GGUF file when asked for or when there is nothing else, else the
 * safetensors weights with index, configuration and tokenizer.
 * @throws NotAvailableError (no weights, no such file), ConfigError (several GGUF files to choose from)
 */
export function neededFiles(source: string, { file, quantization }: HubName, all: readonly string[]): string[] {
  const ggufs = all.filter((path) => path.endsWith(".gguf"));
  const listed = (paths: readonly string[]): string => paths.slice(0, 12).join(", ") || "none";
  if (file !== undefined) {
    if (all.includes(file)) return [file];
    throw new NotAvailableError(`${source}: there is no such file. GGUF files there: ${listed(ggufs)}.`);
  }
  if (quantization !== undefined) {
    const ending = new RegExp(`(^|[-._/])${quantization.replaceAll(".", "\\.")}\\.gguf$`, "i");
    const fitting = ggufs.filter((path) => ending.test(path));
    return [onlyGguf(source, fitting, ggufs)];
  }
  const weights = all.filter((path) => !path.includes("/") && path.endsWith(".safetensors"));
  if (weights.length > 0) {
    const index = all.filter((path) => path === "model.safetensors.index.json");
    const single = index.length === 0 && weights.includes("model.safetensors") ? ["model.safetensors"] : weights;
    return [...all.filter((path) => companions.includes(path)), ...index, ...single].sort();
  }
  if (ggufs.length > 0) return [onlyGguf(source, ggufs, ggufs)];
  throw new NotAvailableError(`${source} has neither safetensors nor GGUF weights; it holds ${listed(all)}.`);
}

function onlyGguf(source: string, fitting: readonly string[], all: readonly string[]): string {
  const [first, ...others] = fitting;
  if (first !== undefined && others.length === 0) return first;
  const what = first === undefined ? "no fitting GGUF file" : `${fitting.length} GGUF files to choose from`;
  throw new ConfigError(`${source}: there are ${what}; write hf:org/name/file.gguf with one of: ${all.slice(0, 20).join(", ")}.`);
}
