/** Manifests agree with each other and with the licence rules; publishable packages are complete. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "./pnpm.mjs";
import { workspacePackages } from "./workspace.mjs";

export function checkPackages() {
  const problems = workspacePackages().flatMap(({ folder, manifest }) => {
    const where = relative(root, folder);
    const expect = (ok, what) => (ok ? [] : [`${where}/package.json: ${what}`]);
    if (manifest.private) return expect(manifest.type === "module", 'needs "type": "module"');
    return [
      ...expect(manifest.type === "module", 'needs "type": "module"'),
      ...expect(manifest.sideEffects === false, 'needs "sideEffects": false'),
      ...expect(manifest.engines?.node === ">=20.19.0", 'needs "engines": { "node": ">=20.19.0" }'),
      ...expect(manifest.license === "Apache-2.0" || manifest.license === "CC0-1.0", "needs a licence"),
      ...expect(manifest.repository?.directory === where, `needs "repository.directory": "${where}"`),
      ...expect(manifest.publishConfig?.provenance === true, "needs publishConfig.provenance"),
      ...expect(manifest.exports?.["./package.json"] === "./package.json", 'needs the export "./package.json"'),
      ...expect(
        Object.keys(manifest.exports).join() === Object.keys(manifest.publishConfig?.exports ?? {}).join(),
        "publishConfig.exports must name the same entry points as exports",
      ),
      ...expect(
        !["preinstall", "install", "postinstall"].some((script) => script in (manifest.scripts ?? {})),
        "must have no install scripts",
      ),
      ...expect(existsSync(join(folder, "README.md")), "needs a README.md beside it"),
      ...expect(existsSync(join(folder, "dist")), "is not built; run npm run setup"),
    ];
  });
  if (problems.length === 0) return;
  console.error(problems.join("\n"));
  process.exit(1);
}
