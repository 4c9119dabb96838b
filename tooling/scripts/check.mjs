/** Types, lint, imports and packages: `npm run check`. */
import { setUp } from "./ensure-built.mjs";

setUp();
// The checks use installed packages, so they can be loaded only now.
(await import("./checks.mjs")).checkAll();
