/**
 * Keeps the page itself for offline use, and serves it with the headers that threads need where the host cannot set them.
 * Weights are not its business: see worker/kept-models.ts.
 */
export {};

const worker = self as unknown as ServiceWorkerGlobalScope;
/** Written by the build: the files of the page, and a version that changes with any of them. */
declare const offlineFiles: readonly string[];
declare const offlineVersion: string;

const cacheName = `infllm-${offlineVersion}`;

// An update waits until every page of the version before is closed: those still load parts of it.
worker.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(cacheName);
      await cache.addAll(["./", ...offlineFiles]);
    })(),
  );
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const old = (await caches.keys()).filter((name) => name.startsWith("infllm-") && name !== cacheName);
      await Promise.all(old.map((name) => caches.delete(name)));
      await worker.clients.claim();
    })(),
  );
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const inScope = request.url.startsWith(worker.registration.scope);
  if (request.method === "GET" && inScope && !request.headers.has("range")) event.respondWith(answer(request));
});

/** The page from the network while there is one, so that it is never stale; files with a hash in their name from the cache. */
async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(cacheName);
  if (request.mode !== "navigate") return isolated((await cache.match(request, { ignoreSearch: true })) ?? (await fetch(request)));
  try {
    return isolated(await fetch(request));
  } catch (error) {
    const page = await cache.match("./");
    if (page === undefined) throw error;
    return isolated(page);
  }
}

function isolated(response: Response): Response {
  if (response.type === "opaque" || response.redirected || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
