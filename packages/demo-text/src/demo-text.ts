/** Where the book lies: a `file:` URL in Node, whatever the bundler made of it in a browser. */
const url = new URL("../data/moby-dick.txt", import.meta.url);

/** The book that the demos and the benchmarks read, some 100,000 tokens that no embedded model was trained on: read from disk in Node, fetched in browsers. @throws Error when it cannot be had */
export async function demoText(): Promise<string> {
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(url, "utf8");
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href} answered ${response.status} ${response.statusText}.`);
  return response.text();
}
