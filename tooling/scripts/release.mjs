/** Versions and publishes through changesets: `npm run version`, `npm run release`. */
import { setUp } from "./ensure-built.mjs";
import { pnpm } from "./pnpm.mjs";

setUp();
if (process.argv[2] === "version") {
  pnpm(["exec", "changeset", "version"]);
  pnpm(["install", "--lockfile-only", "--ignore-scripts"]);
} else pnpm(["exec", "changeset", "publish"]);
