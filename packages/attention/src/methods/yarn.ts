/**
 * YaRN (arXiv 2309.00071) with full attention: a model trained on short texts reads longer ones with a stretched rotary
 * embedding. To be used with weights from before long training ("embedded-short").
 */
import type { AttentionMethod, YarnScaling } from "./method.ts";
import { above, count, methodOptions } from "./options.ts";

/** By default 8 times the 2048 tokens that "embedded-short" was trained on; β as the paper recommends for Llama. */
export type YarnOptions = YarnScaling;

export function yarn(options: Partial<YarnOptions> = {}): AttentionMethod {
  const scaling = methodOptions<YarnOptions>("yarn", options, {
    factor: above(8, 1),
    originalContext: count(2048),
    betaFast: above(32, 0),
    betaSlow: above(1, 0),
  });
  return { name: "yarn", options: { ...scaling }, model: { attention: "dense", yarn: scaling } };
}
