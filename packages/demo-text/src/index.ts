export { demoText } from "./demo-text.ts";
export { fewestPassageTokens, hideFact } from "./hide-fact.ts";
export type { HiddenFact, HideOptions, TokenCodec } from "./hide-fact.ts";
