/** Each file of kernels/ by itself, as editors and other tools see it: WGSL that lacks nothing but what it says it uses. */
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openNullDevice } from "./null-device.ts";

const folder = fileURLToPath(new URL("../kernels/", import.meta.url));
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".wgsl"));

describe("a kernel file alone", async () => {
  const { device, close } = await openNullDevice();
  afterAll(close);

  /** What Dawn has against it: a wrong grammar before any name that is not declared. */
  async function problem(code: string): Promise<string | undefined> {
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    return messages.find(({ type }) => type === "error")?.message;
  }

  it.each(files)("%s", async (file) => {
    const message = await problem(readFileSync(`${folder}${file}`, "utf8"));
    // Aliases and enables come with the header of a variant.
    if (message !== undefined) expect(message).toMatch(/^unresolved (type|value|call target|identifier) |\bextension\b/);
  });

  it("is refused with a wrong grammar, and not for a name alone", async () => {
    expect(await problem("fn f() { return elsewhere(; }")).not.toMatch(/^unresolved/);
    expect(await problem("fn f() -> u32 { return elsewhere(); }")).toMatch(/^unresolved/);
    expect(await problem("fn f() -> u32 { return 1u; }")).toBeUndefined();
  });

  it("holds no placeholder that is put in as text", () => {
    for (const file of files) expect(readFileSync(`${folder}${file}`, "utf8"), file).not.toMatch(/\$\{|\{\{|^#/m);
  });
});
