// Tests two properties of the store that the protocol relies on: a conditional PUT that never overwrites, and a LIST that shows a new
// object at once.

import { randomBytes } from 'node:crypto'
import type { ObjectStore } from '#shared/ports/object-store.ts'

/** Below the repository's prefix. Probe objects are removed again and no other part of Dormouse reads them. */
export const PROBE_PREFIX = 'probe/'
const PROBE = /^probe\/[0-9a-f]{16}$/

/** A new key below `probe/`. */
export const newProbeKey = (): string => `${PROBE_PREFIX}${randomBytes(8).toString('hex')}`
/** Whether Dormouse writes probes by keys of this form. */
export const isProbeKey = (key: string): boolean => PROBE.test(key)

/** false: not exactly one of two racing PUTs won, or the winning object is not listed or was not kept. */
export async function probeConditionalPut(store: ObjectStore): Promise<boolean> {
  const key = newProbeKey()
  const bodies = [Buffer.from('first'), Buffer.from('second')] as const
  try {
    const won = await Promise.all(bodies.map((body) => store.putIfAbsent(key, body)))
    const again = await store.putIfAbsent(key, Buffer.from('third'))
    const kept = await store.get(key)
    const winner = bodies[won.indexOf(true)]
    const exactlyOne = won.filter(Boolean).length === 1 && !again
    return (
      exactlyOne && winner !== undefined && kept !== undefined && winner.equals(kept) && (await isListed(store, key))
    )
  } finally {
    await store.delete(key)
  }
}

async function isListed(store: ObjectStore, key: string): Promise<boolean> {
  for await (const found of store.list(key)) if (found.key === key) return true
  return false
}
