import type { AttendDenseArgs } from "@infllm/attention";
import type { Machine } from "../machine.ts";
import { attendGeneral } from "./attend-general.ts";
import { attendHopper } from "./attend-hopper.ts";
import { attendJob } from "./attend-job.ts";
import { attendByRows } from "./attend-rows.ts";

/** Softmax over every position up to the row's own. */
export function attendDense(machine: Machine, args: AttendDenseArgs): void {
  const job = attendJob(machine, "attendDense", args);
  const attend = { hopper: attendHopper, rows: attendByRows, general: attendGeneral };
  attend[job.path](machine, job);
}
