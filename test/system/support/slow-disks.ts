// A transfer stays under way for as long as a test needs it, and no longer.

import { rename, writeFile } from 'node:fs/promises'
import type { Environment } from '#test/environment/environment.ts'

/** Each read or write of a disk takes so much longer from now on; the result ends that. One call moves at most 1 MiB. */
export async function slowDisks(environment: Environment, call: 'Read' | 'Write', callMs: number) {
  await setPlan(environment, `${call} * sleep:${callMs}\n`)
  return async () => await setPlan(environment, '')
}

/** Whole at any moment: the stand-in for VDDK reads it at each call. */
async function setPlan({ parts: { vddk } }: Environment, text: string): Promise<void> {
  await writeFile(`${vddk.faultFile}.new`, text)
  await rename(`${vddk.faultFile}.new`, vddk.faultFile)
}
