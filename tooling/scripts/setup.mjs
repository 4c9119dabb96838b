/** Installs the dependencies and builds every package: `npm run setup`. */
import { setUp } from "./ensure-built.mjs";

setUp();
