/** Files of web servers that are fetched whole, in one request: small enough for memory, and no server needs to know ranges. */
import { FormatError, NotAvailableError, bytesSource } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import { describe, responseError } from "./http-source.ts";

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes so far and in all; `total` is 0 where the server does not say. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/** @throws NotAvailableError (no connection, no success), FormatError (it ended early); what `signal` was aborted with */
export async function fetchedSource(url: string, { signal, onProgress }: FetchOptions = {}): Promise<ByteSource> {
  try {
    const response = await fetch(url, signal === undefined ? {} : { signal });
    if (!response.ok) throw await responseError(url, response);
    return bytesSource(await bodyBytes(url, response, onProgress), url);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof NotAvailableError || cause instanceof FormatError) throw cause;
    throw new NotAvailableError(`${url} cannot be fetched (${describe(cause)}). Check the connection, then try again.`, { cause });
  }
}

async function bodyBytes(url: string, response: Response, onProgress: FetchOptions["onProgress"]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  // A compressed body has another length than its file.
  const announced = response.headers.has("content-encoding") ? undefined : response.headers.get("content-length");
  const expected = announced === null || announced === undefined ? undefined : Number(announced);
  let loaded = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    onProgress?.(loaded, expected ?? 0);
  }
  if (expected !== undefined && loaded !== expected) {
    throw new FormatError(`${url} ended after ${loaded} of ${expected} bytes. Try again.`);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
