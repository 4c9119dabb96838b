/** `node scripts/mark-unverified.mjs "why" [kernel …]`: lists changed kernels in verified.json as not run on a GPU since. */
import { markUnverified } from "../../../tooling/gpu/mark-unverified.mjs";
import { kernelHashes } from "./kernel-sources.mjs";

markUnverified(new URL("../verified.json", import.meta.url), kernelHashes(), process.argv.slice(2));
