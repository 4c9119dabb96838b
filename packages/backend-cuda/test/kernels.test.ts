/** The kernels as files: names that TypeScript uses, the built fatbin, and the record of the last run on a GPU. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ringStages } from "../src/launch/attend-hopper.ts";
import { stages as linearStages } from "../src/launch/linear-hopper.ts";
import { STAGES } from "../src/launch/select-blocks-hopper.ts";
import { testRecord } from "../../../tooling/gpu/src/record-tests.ts";
import { kernelSources, kernelsNamedIn } from "../scripts/kernel-sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = kernelSources();
const names = new Set(sources.flatMap(({ file }) => kernelsNamedIn(file)));

/** Stands for any value in a template: `attend_${kind}_${variant}` is a pattern over kernel names. */
function patternsIn(text: string): RegExp[] {
  const launches = [...text.matchAll(/(?:launch\(|has\()\s*(["`])((?:(?!\1)[^])*?)\1/g)].map(([, , name]) => name ?? "");
  const named = [...text.matchAll(/\bname = .*?(["`])(linear_\w*.*?)\1/g)].map(([, , name]) => name ?? "");
  return [...launches, ...named].map((name) => new RegExp(`^${name.replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "\\w+")}$`));
}

describe("kernel names", () => {
  const folder = join(root, "src", "launch");
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts"));

  it.each(files)("every kernel that launch/%s names is in the sources", (file) => {
    for (const pattern of patternsIn(readFileSync(join(folder, file), "utf8"))) {
      expect([...names].some((name) => pattern.test(name)), `${pattern.source} in ${file}`).toBe(true);
    }
  });

  it("finds kernels at all", () => {
    const found = files.flatMap((file) => patternsIn(readFileSync(join(folder, file), "utf8")));
    expect(found.length).toBeGreaterThan(12);
    expect(names.size).toBeGreaterThan(60);
  });

  it("every kernel of the path table is in the sources", () => {
    const table = readFileSync(join(root, "src", "paths.ts"), "utf8");
    const listed = [...table.matchAll(/"([a-z]+_[a-z_]+?)(_V|_D|_K)?"/g)].map(([, name, variant]) => ({ name, variant }));
    expect(listed.length).toBeGreaterThan(6);
    for (const { name, variant } of listed) {
      const suffixes = {
        _V: ["_bf16_g16_d128", "_f16_g8_d64"],
        _D: ["_bf16_d128", "_f16_d64"],
        _K: ["_bf16_d128", "_f16_d64", "_bf16_q8_d128", "_f16_q8_d64"],
      }[variant ?? ""] ?? [""];
      for (const suffix of suffixes) expect(names, `${name}${suffix}`).toContain(`${name}${suffix}`);
    }
  });
});

describe("shared memory", () => {
  const constants = (file: string, pattern: RegExp): number[] =>
    (pattern.exec(readFileSync(join(root, "kernels", file), "utf8")) ?? []).slice(1).map(Number);

  it("is reckoned with the stages that the kernels have", () => {
    expect(constants("attend-blocks.cu", /key_stages = (\d+), value_stages = (\d+)/)).toEqual([ringStages.keys, ringStages.values]);
    expect(constants("attend-dense.cu", /int stages = (\d+)/)).toEqual([ringStages.dense]);
    expect(constants("select-tile.cuh", /int stages = (\d+)/)).toEqual([STAGES]);
  });
});

describe("tiles of products on Hopper", () => {
  it.each(["tiles", "split"] as const)("linear-%s.cu has the widths and stages that are reckoned with", (kernel) => {
    const text = readFileSync(join(root, "kernels", `linear-${kernel}.cu`), "utf8");
    const listed = [...text.matchAll(/^LINEAR_(?:TILES|SPLIT)\((\d+), (\d+)/gm)].map(([, width, count]) => [width, Number(count)]);
    expect(Object.fromEntries(listed)).toEqual(linearStages[kernel]);
  });
});

interface Index {
  readonly units: readonly { readonly name: string; readonly hash: string; readonly offset: number; readonly bytes: number; readonly kernels: readonly string[] }[];
}
const index = join(root, "data", "kernels.json");

// A machine without nvcc builds no kernels; the names above are checked there all the same.
const built = existsSync(index);
describe.runIf(built)(`the built kernels${built ? "" : " (skipped: none were built, as nvcc was not found)"}`, () => {
  const { units } = built ? (JSON.parse(readFileSync(index, "utf8")) as Index) : { units: [] };

  it("are those of the sources", () => {
    const fresh = units.filter(({ name, hash }) => sources.some((source) => source.name === name && source.hash === hash));
    for (const { name, kernels } of fresh) {
      expect([...kernels].sort(), name).toEqual(kernelsNamedIn(join(root, "kernels", `${name}.cu`)));
    }
    expect(fresh.length).toBeGreaterThan(0);
  });

  it("lie in the file where the index says", () => {
    const image = readFileSync(join(root, "data", "kernels.fatbin"));
    for (const { name, offset, bytes } of units) {
      expect(image.readUInt32LE(offset), name).toBe(0xba55ed50);
      // A fatbin's header says its own size: 16 bytes and what follows.
      expect(16 + Number(image.readBigUInt64LE(offset + 8)), name).toBeLessThanOrEqual(bytes + 8);
    }
    expect(units.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(image.length);
  });
});

testRecord({ file: new URL("../verified.json", import.meta.url), sources, remedy: "Pack tooling/gpu, run it on a GPU" });
