/** Files on web servers, read by range. */
import { FormatError, NotAvailableError, UnsupportedError, assertRange } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";

export interface HttpSourceOptions {
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Instead of the global `fetch`. */
  readonly fetch?: typeof fetch;
}

/** What may be read as a whole from a server that ignores ranges. */
const MAX_WHOLE = 64 * 1024 * 1024;
const ATTEMPTS = 3;

/** An answer that is no success, in our words. */
export async function responseError(url: string, response: Response): Promise<NotAvailableError> {
  await response.body?.cancel();
  const advice: Readonly<Record<number, string>> = {
    401: "It needs a token: set HF_TOKEN to one that may read it, and check the name.",
    403: "Access is refused: accept the model's terms on its page, and set HF_TOKEN to a token that may read it.",
    404: "It does not exist there: check the name and the revision.",
    416: "The file is shorter than expected: it changed on the server. Try again.",
    429: "The server asks to slow down: wait, then try again.",
  };
  const remedy = advice[response.status] ?? (response.status >= 500 ? "The server failed: try again later." : "Check the address.");
  return new NotAvailableError(`${url} answered ${response.status} ${response.statusText}. ${remedy}`);
}

/**
 * A file behind an URL. Every read is a request for just its bytes. A server that ignores ranges is read whole once if
 * the file has at most 64 MiB, and refused otherwise.
 * @throws NotAvailableError (no connection, no success), UnsupportedError (no ranges), FormatError (a lying answer)
 */
export async function httpSource(url: string, options: HttpSourceOptions = {}): Promise<ByteSource> {
  const first = await requestRange(url, 0, 1, options);
  if (first.status === 200) return wholeSource(url, first);
  const size = await sizeOf(url, first);
  const etag = first.headers.get("etag");
  return {
    name: url,
    size,
    async read(from, to) {
      assertRange({ name: url, size }, from, to);
      if (from === to) return new Uint8Array(0);
      const response = await requestRange(url, from, to, options);
      const part = await partOf(url, response, from, to);
      if (part.size !== size || response.headers.get("etag") !== etag) {
        throw new FormatError(`${url} changed on the server while it was read. Open it again.`);
      }
      return part.bytes;
    },
    async close() {},
  };
}

async function requestRange(url: string, from: number, to: number, options: HttpSourceOptions): Promise<Response> {
  const { headers, signal, fetch: send = fetch } = options;
  const range = `bytes=${from}-${to - 1}`;
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await send(url, { headers: { ...headers, Range: range }, ...(signal === undefined ? {} : { signal }) });
      if (!response.ok) throw await responseError(url, response);
      return response;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof NotAvailableError) throw cause;
      // A connection kept from an earlier read may have been closed by now; a new one is tried at once.
      if (attempt === ATTEMPTS) {
        throw new NotAvailableError(`${url} cannot be reached (${describe(cause)}). Check the address and the connection.`, { cause });
      }
    }
  }
}

/** `fetch` hides the reason in `cause`. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  // An error over several addresses has no message of its own, only a code.
  const code = "code" in cause ? String(cause.code) : cause.name;
  return `${error.message}: ${cause.message === "" ? code : cause.message}`;
}

async function wholeSource(url: string, response: Response): Promise<ByteSource> {
  const announced = Number(response.headers.get("content-length") ?? NaN);
  if (!(announced <= MAX_WHOLE)) {
    await response.body?.cancel();
    throw new UnsupportedError(
      `${url}: the server ignores ranges, and the file ${Number.isNaN(announced) ? "has no stated size" : `has ${announced} bytes`}; ` +
        `without ranges up to ${MAX_WHOLE} bytes are read. Download the file and name the copy.`,
    );
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  return {
    name: url,
    size: bytes.length,
    async read(from, to) {
      assertRange({ name: url, size: bytes.length }, from, to);
      return bytes.subarray(from, to);
    },
    async close() {},
  };
}

/** The file's size, from the answer to a request for its first byte; some servers send all of it as the range 0-0. */
async function sizeOf(url: string, response: Response): Promise<number> {
  const [, total] = /^bytes 0-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  if (response.status !== 206 || total === undefined) return (await partOf(url, response, 0, 1)).size;
  await response.body?.cancel();
  return Number(total);
}

/** The bytes of an answer to a range request, checked to be those asked for. */
async function partOf(url: string, response: Response, from: number, to: number): Promise<{ size: number; bytes: Uint8Array }> {
  const given = response.headers.get("content-range") ?? "nothing";
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(given) ?? [];
  if (response.status !== 206 || Number(first) !== from || Number(last) !== to - 1 || total === undefined) {
    await response.body?.cancel();
    throw new FormatError(`${url}: bytes ${from}-${to - 1} were asked for, but the server sent ${response.status} with ${given}. Download the file and name the copy.`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.length !== to - from) {
    throw new FormatError(`${url}: ${to - from} bytes were asked for and ${bytes.length} came. Try again.`);
  }
  return { size: Number(total), bytes };
}
