import type { AttendDenseArgs } from "@infllm/attention";
import type { Machine } from "../machine.ts";
import { attend } from "./attend.ts";

/** Softmax over all tokens up to each row's own. */
export function attendDense(machine: Machine, args: AttendDenseArgs): void {
  attend(machine, "attendDense", args);
}
