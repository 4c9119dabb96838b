/** Types, lint, imports and packages: `npm run check`. */
import { setUp } from "./ensure-built.mjs";
import { checkAll } from "./checks.mjs";

setUp();
checkAll();
