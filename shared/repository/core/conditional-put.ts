// Tries on the store what the protocol leans on: PUT only where nothing stands, and LIST that names it at once.

import { randomBytes } from 'node:crypto'
import type { ObjectStore } from '#shared/ports/object-store.ts'

/** Below the repository's prefix; removed again, never read by anyone else. */
export const PROBE_PREFIX = 'probe/'

/** false: of two PUTs that race, not exactly one won, or what won is not listed or not kept. */
export async function probeConditionalPut(store: ObjectStore): Promise<boolean> {
  const key = `${PROBE_PREFIX}${randomBytes(8).toString('hex')}`
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
