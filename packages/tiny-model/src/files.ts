/** Access to files by range, in Node (from disk) and in browsers (fetched once). */
export interface EmbeddedFiles {
  readonly name: string;
  /** File names, sorted. */
  list(): string[];
  /** Bytes of the file. */
  size(path: string): Promise<number>;
  /** Bytes `[from, to)` of the file. @throws RangeError for an unknown file or a range outside it. */
  read(path: string, from: number, to: number): Promise<Uint8Array>;
  /** Where the file lies: a `file:` URL in Node, whatever the bundler made of it in a browser. */
  url(path: string): URL;
}

/** The files at these addresses. */
export function embeddedFiles(name: string, urls: ReadonlyMap<string, URL>): EmbeddedFiles {
  const urlOf = (path: string): URL => {
    const url = urls.get(path);
    if (url !== undefined) return url;
    throw new RangeError(`The model "${name}" has no file "${path}"; it has ${[...urls.keys()].join(", ")}.`);
  };
  const size = async (path: string): Promise<number> => {
    const url = urlOf(path);
    if (url.protocol !== "file:") return (await fetched(url)).byteLength;
    const { stat } = await import("node:fs/promises");
    return (await stat(url)).size;
  };
  return {
    name,
    list: () => [...urls.keys()],
    url: urlOf,
    size,
    async read(path, from, to) {
      const url = urlOf(path);
      const bytes = await size(path);
      if (!(Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && from <= to && to <= bytes)) {
        throw new RangeError(`${path} of the model "${name}" has ${bytes} bytes; [${from}, ${to}) is no range in it.`);
      }
      if (url.protocol !== "file:") return (await fetched(url)).subarray(from, to);
      return readFileRange(url, from, to);
    },
  };
}

async function readFileRange(url: URL, from: number, to: number): Promise<Uint8Array> {
  const { open } = await import("node:fs/promises");
  const file = await open(url);
  try {
    const bytes = new Uint8Array(to - from);
    let done = 0;
    while (done < bytes.length) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, from + done);
      if (bytesRead === 0) throw new RangeError(`${url.pathname} ended at byte ${from + done}; ${to} were expected.`);
      done += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

const downloads = new Map<string, Promise<Uint8Array>>();

/** The whole file, fetched once and kept: static servers do not all honour range requests. */
function fetched(url: URL): Promise<Uint8Array> {
  const known = downloads.get(url.href);
  if (known !== undefined) return known;
  const download = fetch(url).then(async (response) => {
    if (!response.ok) throw new Error(`${url.href} answered ${response.status} ${response.statusText}.`);
    return new Uint8Array(await response.arrayBuffer());
  });
  downloads.set(url.href, download);
  download.catch(() => downloads.delete(url.href));
  return download;
}
