import { pnpm } from "./pnpm.mjs";
import { checkImports } from "./check-imports.mjs";
import { checkPackages } from "./check-packages.mjs";

/** Ends the process with a message at the first check that fails. */
export function checkAll() {
  step("lint", () => pnpm(["exec", "oxlint", "--deny-warnings"]));
  step("imports", () => checkImports());
  step("packages", () => checkPackages());
  step("types", () => pnpm(["exec", "turbo", "run", "typecheck", "--output-logs=errors-only", "--log-order=grouped"]));
}

function step(name, action) {
  console.log(`check: ${name}`);
  action();
}
