/** `scripts/check-kernels.mjs`, which stands before packing and publishing. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { kernelSources } from "../scripts/kernel-sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const units = kernelSources().map(({ name, hash }) => ({ name, hash, bytes: 3 }));
const bytes = 3 * units.length;
const stale = units.map((unit, i) => (i === 1 ? { ...unit, hash: "0" } : unit));

/** Exit status and message for a folder with these kernels. */
function check(index?: readonly object[], imageBytes = bytes): { readonly status: number | null; readonly message: string } {
  const folder = mkdtempSync(join(tmpdir(), "kernels-"));
  if (index) writeFileSync(join(folder, "kernels.json"), JSON.stringify({ units: index }));
  if (index) writeFileSync(join(folder, "kernels.fatbin"), new Uint8Array(imageBytes));
  const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts", "check-kernels.mjs"), folder], { encoding: "utf8" });
  return { status, message: stderr };
}

it("lets kernels pass that are those of the sources", () => {
  expect(check(units)).toEqual({ status: 0, message: "" });
});

it.each([
  ["no kernels", undefined, bytes, "its kernels are not built"],
  ["kernels of older sources", stale, bytes, `kernels of ${units[1]?.name} are not those of the sources`],
  ["a kernel too few", units.slice(1), bytes - 3, `kernels of ${units[0]?.name} are not`],
  ["a file cut short", units, bytes - 1, `does not have the ${bytes} bytes`],
])("refuses %s, with the command that helps", (_, index, imageBytes, problem) => {
  const { status, message } = check(index, imageBytes);
  expect(status).toBe(1);
  expect(message).toContain(problem);
  expect(message).toContain("npm run build:cuda");
});

it("runs before packing", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly scripts: Record<string, string> };
  expect(scripts["prepack"]).toBe("node scripts/check-kernels.mjs");
});
