/**
 * The cache of hub files: `<root>/<host>/<org>/<name>/<revision>/<path>`, plain files under their own names, so that
 * other programs can use them. A list of what the hub had lies beside them; a file under its final name is always
 * complete and is the version of that list.
 */
import { ConfigError, NotAvailableError } from "@infllm/tensor";
import { describe } from "./http-source.ts";

/** A file of a repository. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** SHA-256 for large files, Git's blob SHA-1 for the others. */
  readonly hash: string;
}

export interface HubCache {
  readonly folder: string;
  /** The files as last listed, or undefined when nothing was. */
  listing(): Promise<readonly HubFile[] | undefined>;
  /** Remembers a new list and deletes files that it gives another hash. */
  update(files: readonly HubFile[]): Promise<void>;
  has(file: HubFile): Promise<boolean>;
  pathOf(file: HubFile): string;
}

const LISTING = ".infllm-files.json";

/** `option`, else `$INFLLM_CACHE`, else `$XDG_CACHE_HOME/infllm`, else `~/.cache/infllm`. */
async function cacheRoot(option: string | undefined): Promise<string> {
  const { homedir } = await import("node:os");
  const { join, resolve } = await import("node:path");
  const { INFLLM_CACHE: own, XDG_CACHE_HOME: xdg } = process.env;
  if (option !== undefined && option !== "") return resolve(option);
  if (own !== undefined && own !== "") return resolve(own);
  return join(xdg !== undefined && xdg !== "" ? xdg : join(homedir(), ".cache"), "infllm");
}

export async function openHubCache(
  cacheDir: string | undefined,
  hubUrl: string,
  repo: string,
  revision: string,
): Promise<HubCache> {
  const { join } = await import("node:path");
  const fs = await import("node:fs/promises");
  const host = new URL(hubUrl).host.replace(":", "_");
  const folder = join(await cacheRoot(cacheDir), host, ...repo.split("/"), encodeURIComponent(revision));
  const pathOf = (file: HubFile): string => join(folder, ...file.path.split("/"));
  const listing = async (): Promise<readonly HubFile[] | undefined> => {
    const text = await fs.readFile(join(folder, LISTING), "utf8").catch(() => undefined);
    return text === undefined ? undefined : parseListing(text);
  };
  return {
    folder,
    pathOf,
    listing,
    async has(file) {
      const found = await fs.stat(pathOf(file)).catch(() => undefined);
      return found?.isFile() === true && found.size === file.size;
    },
    async update(files) {
      try {
        await fs.mkdir(folder, { recursive: true });
        // Stale files go before the new list comes: killed in between, they are merely missing.
        const current = new Map(files.map((file) => [file.path, file.hash]));
        for (const old of (await listing()) ?? []) {
          if (current.get(old.path) !== old.hash) await fs.rm(pathOf(old), { force: true });
        }
        const fresh = join(folder, `${LISTING}.${process.pid}`);
        await fs.writeFile(fresh, JSON.stringify(files));
        await fs.rename(fresh, join(folder, LISTING));
      } catch (cause) {
        throw new NotAvailableError(`The cache ${folder} cannot be written to (${describe(cause)}). Choose another with cacheDir or INFLLM_CACHE.`, { cause });
      }
    },
  };
}

/** A damaged list counts as none: the hub is asked again. */
function parseListing(text: string): readonly HubFile[] | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return Array.isArray(json) && json.every(isHubFile) ? json : undefined;
  } catch {
    return undefined;
  }
}

function isHubFile(value: unknown): value is HubFile {
  if (typeof value !== "object" || value === null) return false;
  const { path, size, hash } = value as Partial<Record<keyof HubFile, unknown>>;
  return typeof path === "string" && isSafePath(path) && Number.isSafeInteger(size) && Number(size) >= 0 && isHash(hash);
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(value);
}

/** Whether a path from the hub stays below the folder it is joined to, on every platform. */
function isSafePath(path: string): boolean {
  return !/[\\:\0]/.test(path) && path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** Holds what the hub listed against what may be written to disk. @throws ConfigError */
export function assertHubFile(where: string, file: HubFile): void {
  if (isHubFile(file)) return;
  throw new ConfigError(`${where} lists the file ${JSON.stringify(file).slice(0, 200)}; a relative path, a size and a SHA are needed. Check the hub's address.`);
}
