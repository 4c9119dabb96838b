/** Stands in for `node:fs/promises` in the page: the goldens are served beside it. */
export async function readFile(url: URL, encoding?: "utf8"): Promise<string | Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href}: ${response.status}`);
  return encoding === undefined ? new Uint8Array(await response.arrayBuffer()) : response.text();
}
