// Leases: who works on an object, and until when. The writer of a Lease stops itself by monotonic time before it runs out.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Lease } from '#shared/api/types.ts'

/** On an object: who began the last step on it. It makes each beginning a write, also when nothing else of it changes. */
export const HOLDER_ANNOTATION = 'dormouse.dev/holder'

export type LeaseState = 'free' | 'mine' | 'held' | 'stale'

/**
 * `stale`: its holder has not renewed it for its whole duration by the wall clock. Clocks differ and jump, so a stale Lease
 * may be taken only after it was seen unchanged for its whole duration by the taker's own monotonic clock.
 */
export function leaseState(lease: Lease | undefined, me: string, nowMs: number): LeaseState {
  const holder = lease?.spec?.holderIdentity
  if (typeof holder !== 'string' || holder === '') return 'free'
  if (holder === me) return 'mine'
  const endMs = leaseEndMs(lease)
  return nowMs >= endMs || isFromAhead(lease, endMs, nowMs) ? 'stale' : 'held'
}

/**
 * Renewed later than now by more than its own length: the holder's clock was ahead, or ours went back. By the wall clock alone a dead
 * holder would keep it for as long as the clocks differ.
 */
function isFromAhead(lease: Lease | undefined, endMs: number, nowMs: number): boolean {
  return endMs - nowMs > 2000 * Number(lease?.spec?.leaseDurationSeconds ?? 0)
}

/** Whether who holds it `now` is who held it `then`, and has not taken it anew. Nobody's is never the same. */
export function isSameHold(then: Lease, now: Lease): boolean {
  const [before, after] = [then.spec ?? {}, now.spec ?? {}]
  const isHeld = typeof after.holderIdentity === 'string' && after.holderIdentity !== ''
  return isHeld && after.holderIdentity === before.holderIdentity && after.acquireTime === before.acquireTime
}

/** When it runs out by the wall clock; 0 for a Lease that says nothing usable. */
export function leaseEndMs(lease: Lease | undefined): number {
  const renewedMs = Date.parse(lease?.spec?.renewTime ?? '') || 0
  return renewedMs + 1000 * Number(lease?.spec?.leaseDurationSeconds ?? 0)
}

export function heldLeaseSpec(
  holder: string,
  durationMs: number,
  nowMs: number,
): { holderIdentity: string; leaseDurationSeconds: number; renewTime: string } {
  return { holderIdentity: holder, leaseDurationSeconds: Math.ceil(durationMs / 1000), renewTime: microTime(nowMs) }
}

export const RELEASED_LEASE_SPEC = { holderIdentity: null, renewTime: null, leaseDurationSeconds: null } as const

const MAX_NAME_CHARS = 253

/** The Velero Plugin for vSphere's names for its two kinds; by UID for the others, and where a name would be longer than a Lease's may be. */
export function leaseName(object: KubeObject): string {
  const kind = object.kind.toLowerCase()
  const byName = `${kind}-lease.${object.metadata.name}`
  const isNamed = (kind === 'upload' || kind === 'download') && byName.length <= MAX_NAME_CHARS
  return isNamed ? byName : `${kind}-lease.${object.metadata.uid}`
}

/** The part of a Lease that says who holds it, and until when. */
export function leaseTimes(lease: Lease): object {
  const { holderIdentity, leaseDurationSeconds, renewTime } = lease.spec ?? {}
  return { holderIdentity, leaseDurationSeconds, renewTime }
}

/** MicroTime of the API: RFC 3339 with six digits. */
export function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z')
}
