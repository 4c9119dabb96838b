/** Where a model's files come from, behind one interface. */
import { ConfigError, NotAvailableError, UnsupportedError, assertRange } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import { fetchedSource } from "./fetched-source.ts";
import { hubFiles } from "./hub-files.ts";
import { httpSource } from "./http-source.ts";
import { assertListed, fileError, folderFiles, singleFile } from "./node-files.ts";

/** The files of one model. */
export interface ModelFiles {
  /** For people: the folder, file or hub name. */
  readonly name: string;
  /** Names of the files, sorted; never a path that leads out of the model. */
  list(): Promise<string[]>;
  /** Opens a listed file; a remote one may first be fetched. @throws NotAvailableError */
  open(path: string): Promise<ByteSource>;
  close(): Promise<void>;
}

/** Bytes of one file while it is fetched. */
export interface DownloadProgress {
  readonly file: string;
  readonly loaded: number;
  /** 0 where the server does not say. */
  readonly total: number;
}

export interface ModelFilesOptions {
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Stops downloads; what came so far is kept and continued next time. */
  readonly signal?: AbortSignal;
  /** Folder of downloads. Default: `$INFLLM_CACHE`, else `$XDG_CACHE_HOME/infllm`, else `~/.cache/infllm`. */
  readonly cacheDir?: string;
  /** Address of the hub. Default: `$HF_ENDPOINT`, else huggingface.co. */
  readonly hubUrl?: string;
  /** Default: `$HF_TOKEN`. */
  readonly token?: string;
  /**
   * Whether hub files are kept in the cache (default). With `false`, a file that is not in the cache is read over the
   * network by range: right for looking at headers only.
   */
  readonly download?: boolean;
}

/**
 * Opens a model by name: a folder, a `.gguf` or `.safetensors` file, `hf:org/name[/file.gguf | :quantisation][@revision]`,
 * the URL of a `.gguf` file, or `embedded` (`embedded-short`: the same network, trained on 2048 tokens only).
 * @throws NotAvailableError (nothing there, a missing package), ConfigError (an impossible name), UnsupportedError (another kind of file)
 */
export async function openModelFiles(source: string, options: ModelFilesOptions = {}): Promise<ModelFiles> {
  if (source === "") throw new ConfigError("The model's name is empty; give a folder, a .gguf or .safetensors file, hf:org/name or embedded.");
  if (source === "embedded" || source === "embedded-short") return embeddedFiles(source, options);
  if (source.startsWith("hf:")) return hubFiles(source, options);
  if (/^https?:\/\//.test(source)) return urlFiles(source, options);
  return diskFiles(source);
}

async function diskFiles(path: string): Promise<ModelFiles> {
  if (globalThis.process?.versions?.node === undefined) {
    throw new NotAvailableError(`"${path}" is no name that a page can open: it needs hf:org/name, the URL of a .gguf file, or files that were picked (blobFiles).`);
  }
  const { stat } = await import("node:fs/promises");
  const found = await stat(path).catch((cause: unknown) => {
    const looksLikeHub = /^[\w.-]+\/[\w.-]+$/.test(path) ? ` For the model of that name on Hugging Face, write hf:${path}.` : "";
    throw new NotAvailableError(`${fileError(path, cause).message}${looksLikeHub}`, { cause });
  });
  if (found.isDirectory()) return folderFiles(path);
  if (/\.(gguf|safetensors)$/.test(path)) return singleFile(path);
  throw new UnsupportedError(`${path} is no model: a folder, a .gguf file or a .safetensors file is needed.`);
}

async function urlFiles(url: string, options: ModelFilesOptions): Promise<ModelFiles> {
  const name = new URL(url).pathname.split("/").at(-1) ?? "";
  if (!name.endsWith(".gguf")) {
    throw new UnsupportedError(`${url}: of web addresses, only those of .gguf files can be opened. Download the folder, or use hf:org/name.`);
  }
  return {
    name: url,
    list: async () => [name],
    async open(path) {
      assertListed(url, [name], path);
      return httpSource(url, options.signal === undefined ? {} : { signal: options.signal });
    },
    async close() {},
  };
}

async function embeddedFiles(name: "embedded" | "embedded-short", { signal, onProgress }: ModelFilesOptions): Promise<ModelFiles> {
  const loaded = name === "embedded" ? import("@infllm/tiny-model") : import("@infllm/tiny-model/short");
  const files = await loaded.then(
    (module) => ("tinyModel" in module ? module.tinyModel : module.tinyModelShort),
    (cause: unknown) => {
      throw new NotAvailableError(
        `The model "${name}" is in the package @infllm/tiny-model, which cannot be loaded. Run: npm install @infllm/tiny-model`,
        { cause },
      );
    },
  );
  return {
    name: files.name,
    list: async () => files.list(),
    async open(path) {
      assertListed(files.name, files.list(), path);
      const url = files.url(path);
      if (url.protocol !== "file:") {
        const report = (loaded: number, total: number): void => onProgress?.({ file: path, loaded, total });
        return fetchedSource(url.href, { signal, onProgress: report });
      }
      const source = { name: `${name} ${path}`, size: await files.size(path) };
      return {
        ...source,
        async read(from, to) {
          assertRange(source, from, to);
          return files.read(path, from, to);
        },
        async close() {},
      };
    },
    async close() {},
  };
}
