// Handles one delivery in one process: runs its handler, repeats it after a conflict, and cuts it off when its request is too old.

import { REQUEST_MS } from '#shared/kernel/call-limits.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { handleClone } from '../../functions/clone/handler.ts'
import { handleDelete } from '../../functions/delete/handler.ts'
import { handleDownload } from '../../functions/download/handler.ts'
import { handleSnapshot } from '../../functions/snapshot/handler.ts'
import { handleUpload } from '../../functions/upload/handler.ts'
import type { Warm } from './processes.ts'

/** `timeoutSeconds` of a light function, and of the sweep (config/services): after this nothing waits for its answer. */
const LIGHT_REQUEST_MS = 2 * MINUTE_MS
export const SWEEP_REQUEST_MS = 5 * MINUTE_MS
/** As in createReceiver. */
const CONFLICT_RERUNS = 3

export async function request(ref: ObjectRef, warm: Warm): Promise<unknown> {
  const limitMs = ref.kind === 'Upload' || ref.kind === 'Download' ? REQUEST_MS : LIGHT_REQUEST_MS
  return await within(warm, limitMs, async (signal) => {
    for (let rerun = 0; ; rerun++) {
      try {
        return await handle(ref, warm, signal)
      } catch (error) {
        if (!(error instanceof ConflictError) || rerun === CONFLICT_RERUNS) throw error
        signal.throwIfAborted()
      }
    }
  })
}

/** The signal tells `act` that its time is over. */
export async function within<T>(
  { pod, isCutOff }: Warm,
  limitMs: number,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const cut = new AbortController()
  const over = new AbortController()
  pod.onDeath(() => over.abort())
  const cutOff = () => cut.abort(new TooOld(`the request is ${limitMs} ms old`))
  // Otherwise it ended first, or its process has died.
  if (isCutOff) pod.limit(limitMs, over.signal).then(cutOff, () => {})
  return await act(cut.signal).finally(() => over.abort())
}

/** A request that ends with this error is delivered again. */
class TooOld extends Error {
  override readonly name = 'TooOld'
}

async function handle(ref: ObjectRef, { pod, deps }: Warm, signal: AbortSignal): Promise<string> {
  const context = { log: deps.log, cause: 'event', id: '1', nowMs: pod.nowMs() } as unknown as Context
  switch (ref.kind) {
    case 'Snapshot':
      return await handleSnapshot(context, ref, deps, signal)
    case 'Upload':
      return await handleUpload(context, ref, deps, signal)
    case 'Download':
      return await handleDownload(context, ref, deps, signal)
    case 'CloneFromSnapshot':
    case 'PersistentVolumeClaim':
      return await handleClone(context, ref, deps, signal)
    case 'DeleteSnapshot':
      return await handleDelete(context, ref, deps, signal)
    default:
      throw new Error(`no handler for ${ref.kind}`)
  }
}
