/** A stand-in for the model hub on 127.0.0.1: file trees, range requests, and faults on demand. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";

export interface HubRepo {
  /** Path to content. */
  files: Record<string, Uint8Array>;
  /** The token that may read it; anyone when absent. */
  token?: string;
}

/** What the server does wrong, until told otherwise. */
export interface Faults {
  /** Closes the connection after so many bytes of a body, this many times. */
  cutAfter?: { bytes: number; times: number };
  /** Answers range requests with the whole file. */
  ignoreRange?: boolean;
  /** Announces and sends one byte more than the tree lists. */
  wrongSize?: boolean;
  /** Changes the content but not the listed hash. */
  wrongContent?: boolean;
  /** Answers file requests with this status, this many times. */
  status?: { code: number; times: number };
  /** Sends the headers of a file, then nothing. */
  silent?: boolean;
}

export interface HubServer {
  readonly url: string;
  readonly repos: Record<string, HubRepo>;
  faults: Faults;
  /** `GET path range` of every request. */
  readonly requests: string[];
  close(): Promise<void>;
}

export async function startHub(repos: Record<string, HubRepo>): Promise<HubServer> {
  const hub: Omit<HubServer, "url" | "close"> = { repos, faults: {}, requests: [] };
  const server = createServer((request, response) => answer(hub, request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return Object.assign(hub, {
    url: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function answer(hub: Omit<HubServer, "url" | "close">, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname);
  hub.requests.push(`${request.method} ${path} ${request.headers.range ?? ""}`.trim());
  const [, tree, file] = /^\/api\/models\/([^/]+\/[^/]+)\/tree\//.exec(path) ?? [];
  const [, resolved, name] = /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(path) ?? [];
  const repo = hub.repos[tree ?? resolved ?? ""];
  if (repo === undefined) return sendJson(response, 404, { error: "Repository not found" });
  if (repo.token !== undefined && request.headers.authorization !== `Bearer ${repo.token}`) {
    return sendJson(response, 401, { error: "Invalid username or password." });
  }
  if (tree !== undefined && file === undefined) return sendTree(repo, response);
  const content = repo.files[name ?? ""];
  if (content === undefined) return sendJson(response, 404, { error: "Entry not found" });
  sendFile(hub.faults, content, request, response);
}

/** Large files are listed by SHA-256 (LFS), small ones by Git's SHA-1 only, as the hub does. */
function sendTree(repo: HubRepo, response: ServerResponse): void {
  const entries = Object.entries(repo.files).map(([path, bytes]) => {
    const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    if (bytes.length < 1000) return { type: "file", path, size: bytes.length, oid };
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { type: "file", path, size: bytes.length, oid: "0".repeat(40), lfs: { oid: sha256, size: bytes.length, pointerSize: 130 } };
  });
  sendJson(response, 200, [{ type: "directory", path: "sub", size: 0, oid: "1".repeat(40) }, ...entries]);
}

function sendFile(faults: Faults, content: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
  if (faults.status !== undefined && faults.status.times-- > 0) return sendJson(response, faults.status.code, {});
  let body = faults.wrongContent === true ? content.map((byte) => byte ^ 1) : content;
  if (faults.wrongSize === true) body = Uint8Array.from([...body, 0]);
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const ranged = first !== undefined && faults.ignoreRange !== true;
  const from = ranged ? Number(first) : 0;
  const to = ranged && last !== "" ? Math.min(Number(last) + 1, body.length) : body.length;
  if (from >= body.length && body.length > 0) return sendJson(response, 416, {});
  response.writeHead(ranged ? 206 : 200, {
    "content-length": to - from,
    etag: '"1"',
    ...(ranged ? { "content-range": `bytes ${from}-${to - 1}/${body.length}` } : {}),
  });
  const part = body.subarray(from, to);
  if (faults.silent === true) return response.flushHeaders();
  if (faults.cutAfter !== undefined && faults.cutAfter.bytes < part.length && faults.cutAfter.times-- > 0) {
    // A client drops what it has not read when the connection ends: it gets some time.
    response.write(part.subarray(0, faults.cutAfter.bytes), () => setTimeout(() => response.destroy(), 200));
    return;
  }
  response.end(part);
}
