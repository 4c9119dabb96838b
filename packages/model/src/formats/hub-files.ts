/** Models on the Hugging Face hub (`hf:org/name`), through `@huggingface/hub` and a cache on disk. */
import { ConfigError, NotAvailableError } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import { downloadFile } from "./download.ts";
import { assertHubFile, openHubCache } from "./hub-cache.ts";
import type { HubCache, HubFile } from "./hub-cache.ts";
import { neededFiles, parseHubName } from "./hub-name.ts";
import type { HubName } from "./hub-name.ts";
import { describe, httpSource } from "./http-source.ts";
import type { ModelFiles, ModelFilesOptions } from "./model-files.ts";
import { assertListed, fileSource } from "./node-files.ts";

/** What a hub model needs to know about its surroundings. */
interface Hub {
  readonly source: string;
  readonly name: HubName;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly token: string | undefined;
  readonly offline: boolean;
}

const onDisk = typeof process !== "undefined" && process.versions?.node !== undefined;

/**
 * The needed files of a hub model. Opening one fetches it into the cache first, or reads it over the network when
 * `download` is false (always in browsers). Without a connection, a cache that has the files serves them.
 * @throws ConfigError (name, token), NotAvailableError (no such model, no access, no connection and no cache)
 */
export async function hubFiles(source: string, options: ModelFilesOptions): Promise<ModelFiles> {
  const hub = openHub(source, options);
  const { repo, revision } = hub.name;
  const cache = onDisk ? await openHubCache(options.cacheDir, hub.url, repo, revision) : undefined;
  const { files, offline } = await listFiles(hub, cache, options);
  const needed = neededFiles(source, hub.name, files.map((file) => file.path));
  const find = (path: string): HubFile => {
    assertListed(source, needed, path);
    return files.find((file) => file.path === path) as HubFile;
  };
  return {
    name: source,
    list: async () => [...needed],
    open: async (path) => openHubFile({ ...hub, offline }, cache, find(path), options),
    async close() {},
  };
}

/** Fetches every needed file of a hub model. @throws as `hubFiles`, and as `downloadFile` does */
export async function pullModel(
  source: string,
  options: Omit<ModelFilesOptions, "download"> = {},
): Promise<{ readonly folder: string; readonly files: readonly string[]; readonly bytes: number }> {
  const { repo, revision } = parseHubName(source);
  const hub = openHub(source, options);
  const { folder } = await openHubCache(options.cacheDir, hub.url, repo, revision);
  const model = await hubFiles(source, options);
  const files = await model.list();
  let bytes = 0;
  for (const path of files) {
    const file = await model.open(path);
    bytes += file.size;
    await file.close();
  }
  return { folder, files, bytes };
}

function openHub(source: string, options: ModelFilesOptions): Hub {
  const environment = onDisk ? process.env : {};
  const url = (options.hubUrl ?? environment["HF_ENDPOINT"] ?? "https://huggingface.co").replace(/\/+$/, "");
  const token = options.token ?? environment["HF_TOKEN"];
  const given = token === undefined || token === "" ? undefined : token.trim();
  if (!/^https?:\/\//.test(url)) throw new ConfigError(`The hub's address is "${url}"; one that starts with https:// is needed (hubUrl or HF_ENDPOINT).`);
  // The hub library refuses other tokens, too, but in words that say nothing of where it came from.
  if (given !== undefined && !given.startsWith("hf_")) {
    throw new ConfigError("The Hugging Face token (HF_TOKEN, or the token option) must start with hf_; copy it anew from your account's settings.");
  }
  return {
    source,
    name: parseHubName(source),
    url,
    headers: given === undefined ? {} : { Authorization: `Bearer ${given}` },
    token: given,
    offline: /^(1|true|yes|on)$/i.test(environment["HF_HUB_OFFLINE"] ?? ""),
  };
}

interface Listing {
  readonly files: readonly HubFile[];
  readonly offline: boolean;
}

/** Asks the hub; when it cannot be asked, what the cache last heard serves. */
async function listFiles(hub: Hub, cache: HubCache | undefined, options: ModelFilesOptions): Promise<Listing> {
  const known = await cache?.listing();
  if (hub.offline && known !== undefined) return { files: known, offline: true };
  if (hub.offline) {
    throw new NotAvailableError(`${hub.source} is not in the cache${cache === undefined ? "" : ` (${cache.folder})`}, and HF_HUB_OFFLINE forbids to fetch it. Unset HF_HUB_OFFLINE.`);
  }
  try {
    const files = await askHub(hub, options.signal);
    await cache?.update(files);
    return { files, offline: false };
  } catch (error) {
    if (known !== undefined && error instanceof UnreachableError) return { files: known, offline: true };
    throw error;
  }
}

/** The hub gave no answer at all, which says nothing about the model. */
class UnreachableError extends NotAvailableError {}

async function askHub(hub: Hub, signal: AbortSignal | undefined): Promise<readonly HubFile[]> {
  const { listFiles: list } = await import("@huggingface/hub").catch((cause: unknown) => {
    throw new UnreachableError(`Names that start with hf: need the package @huggingface/hub, which cannot be loaded. Run: npm install @huggingface/hub`, { cause });
  });
  // A list of files that takes a minute comes over a dead connection.
  const limit = AbortSignal.timeout(60_000);
  const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  const files: HubFile[] = [];
  try {
    const entries = list({
      repo: { type: "model", name: hub.name.repo },
      revision: encodeURIComponent(hub.name.revision),
      recursive: true,
      hubUrl: hub.url,
      fetch: (url, init) => fetch(url, { ...init, signal: either }),
      ...(hub.token === undefined ? {} : { accessToken: hub.token }),
    });
    for await (const { type, path, size, oid, lfs } of entries) {
      const file = { path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "" };
      if (type !== "file") continue;
      assertHubFile(hub.url, file);
      files.push(file);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw cause instanceof ConfigError ? cause : hubError(hub, cause);
  }
  return files;
}

function hubError({ source, url, name }: Hub, cause: unknown): NotAvailableError {
  const status = cause instanceof Error && "statusCode" in cause ? Number(cause.statusCode) : undefined;
  const advice: Readonly<Record<number, string>> = {
    401: `It does not exist, or it is private or gated: check the name, accept its terms at ${url}/${name.repo}, and set HF_TOKEN.`,
    403: `Access is refused: accept the model's terms at ${url}/${name.repo} with the account of your HF_TOKEN.`,
    404: `There is no model ${name.repo} with the revision ${name.revision}: check both.`,
  };
  if (status !== undefined && status < 500 && status !== 429) {
    return new NotAvailableError(`${source}: the hub answered ${status}. ${advice[status] ?? "Check the name."}`, { cause });
  }
  const why = status === undefined ? describe(cause) : `it answered ${status}`;
  return new UnreachableError(`${source}: ${url} cannot be asked (${why}), and the model is not in the cache. Check the connection, then try again.`, { cause });
}

async function openHubFile(
  hub: Hub,
  cache: HubCache | undefined,
  file: HubFile,
  options: ModelFilesOptions,
): Promise<ByteSource> {
  const { signal, onProgress } = options;
  const path = cache?.pathOf(file);
  if (path !== undefined && (await cache?.has(file)) === true) return fileSource(path);
  if (hub.offline) {
    throw new NotAvailableError(`${hub.source}: ${file.path} is not in the cache, and the hub cannot be reached. Connect, and fetch it once.`);
  }
  const encoded = file.path.split("/").map(encodeURIComponent).join("/");
  const url = `${hub.url}/${hub.name.repo}/resolve/${encodeURIComponent(hub.name.revision)}/${encoded}`;
  const abort = signal === undefined ? {} : { signal };
  if (path === undefined || options.download === false) return httpSource(url, { headers: hub.headers, ...abort });
  const report = (loaded: number): void => onProgress?.({ file: file.path, loaded, total: file.size });
  await downloadFile({ url, path, size: file.size, hash: file.hash, headers: hub.headers, onProgress: report, ...abort });
  return fileSource(path);
}
