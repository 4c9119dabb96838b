/** Everything a change must pass: `npm test`. Arguments go to the test runner: `npm test -- packages/tensor`. */
import { checkAll } from "./checks.mjs";
import { setUp } from "./ensure-built.mjs";
import { pnpm } from "./pnpm.mjs";

const filters = process.argv.slice(2);
setUp();
if (filters.length === 0) checkAll();
pnpm(["exec", "vitest", "run", ...filters]);
