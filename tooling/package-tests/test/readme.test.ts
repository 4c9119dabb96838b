/** Every TypeScript example in a README, and every command that needs nothing else, runs against the built packages. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";
import { afterAll, expect, test } from "vitest";
import { command, publishedPackages, root, withoutDawnRemarks } from "./workspace.ts";

const published = [...publishedPackages().values()].map(({ folder }) => folder);
const examples = [root, ...published].flatMap((folder) =>
  [...readFileSync(join(folder, "README.md"), "utf8").matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code = ""], index) => ({
    name: `${relative(root, folder) || "."}/README.md, example ${index + 1}`,
    code,
  })),
);
// Inside apps/cli, so that every published package resolves as it does for a dependant.
const scratch = join(root, "apps/cli/node_modules/.readme-examples");
mkdirSync(scratch, { recursive: true });
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("every published package has an example", () => {
  for (const folder of published) expect(readFileSync(join(folder, "README.md"), "utf8")).toMatch(/^```(ts|sh)\n/m);
});

test.each(examples)("$name", { timeout: 180_000 }, async ({ name, code }) => {
  const { outputText } = ts.transpileModule(code, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
  const file = join(scratch, `${name.replaceAll(/[^a-z0-9]+/gi, "-")}.mjs`);
  writeFileSync(file, outputText);
  const run = await command(process.execPath, [file], scratch);
  expect({ code: run.code, stderr: withoutDawnRemarks(run.stderr) }).toEqual({ code: 0, stderr: "" });
});

/** What an example would have to be given: another model, a file of the user, minutes, or a terminal. */
const needs = /hf:|\.\/|\.txt|\.safetensors|infllm (demo|chat)/;
const commands = [root, join(root, "apps/cli")]
  .flatMap((folder) => [...readFileSync(join(folder, "README.md"), "utf8").matchAll(/^```sh\n([\s\S]*?)^```/gm)])
  .flatMap(([, lines = ""]) => lines.split("\n").map((line) => line.replace("npm run infllm -- ", "infllm ")))
  .filter((line) => line.startsWith("infllm ") && !needs.test(line));

test.each(commands)("%s", { timeout: 60_000 }, async (line) => {
  const words = [...line.matchAll(/"([^"]*)"|\S+/g)].slice(1).map(([word, quoted]) => quoted ?? word);
  const run = await command(process.execPath, [join(root, "apps/cli/dist/cli.js"), ...words], scratch);
  expect(run).toMatchObject({ code: 0, stderr: "" });
});

test("the READMEs show commands that need nothing else", () => {
  for (const name of ["generate", "inspect", "convert"]) expect(commands.join("\n")).toContain(`infllm ${name}`);
});
