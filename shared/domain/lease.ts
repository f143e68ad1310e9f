// Leases: which process works on an object, and until when. The holder of a Lease stops by monotonic time before the Lease expires.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Lease } from '#shared/api/types.ts'

/**
 * On an object: the process that began the last step on it. It makes each beginning a change, even if nothing else in the object changes.
 */
export const HOLDER_ANNOTATION = 'dormouse.dev/holder'

type LeaseState = 'free' | 'mine' | 'held' | 'stale'

/**
 * `stale`: the holder has not renewed the Lease for its whole duration by the wall clock. Clocks differ and jump, so another process may
 * take a stale Lease only after it has seen it unchanged for its whole duration by its own monotonic clock.
 */
export function leaseState(lease: Lease | undefined, me: string, nowMs: number): LeaseState {
  const holder = lease?.spec?.holderIdentity
  if (typeof holder !== 'string' || holder === '') return 'free'
  if (holder === me) return 'mine'
  const endMs = leaseEndMs(lease)
  return nowMs >= endMs || isFromAhead(lease, endMs, nowMs) ? 'stale' : 'held'
}

/**
 * The renewal is later than now by more than the Lease's own duration: the holder's clock was ahead, or ours went back. By the wall clock
 * alone, a dead holder would keep the Lease for as long as the clocks differ.
 */
function isFromAhead(lease: Lease | undefined, endMs: number, nowMs: number): boolean {
  return endMs - nowMs > 2000 * Number(lease?.spec?.leaseDurationSeconds ?? 0)
}

/** Whether the holder in `now` is the holder in `then`, and has not taken the Lease anew. False for a free Lease. */
export function isSameHold(then: Lease, now: Lease): boolean {
  const [before, after] = [then.spec ?? {}, now.spec ?? {}]
  const isHeld = typeof after.holderIdentity === 'string' && after.holderIdentity !== ''
  return isHeld && after.holderIdentity === before.holderIdentity && after.acquireTime === before.acquireTime
}

/** When the Lease expires by the wall clock; 0 for a Lease without usable times. */
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

/** The Velero Plugin for vSphere's names for its two kinds. The UID for the others, and if a name would be too long for a Lease. */
export function leaseName(object: KubeObject): string {
  const kind = object.kind.toLowerCase()
  const byName = `${kind}-lease.${object.metadata.name}`
  const isNamed = (kind === 'upload' || kind === 'download') && byName.length <= MAX_NAME_CHARS
  return isNamed ? byName : `${kind}-lease.${object.metadata.uid}`
}

/** The part of a Lease that says which process holds it, and until when. */
export function leaseTimes(lease: Lease): object {
  const { holderIdentity, leaseDurationSeconds, renewTime } = lease.spec ?? {}
  return { holderIdentity, leaseDurationSeconds, renewTime }
}

/** MicroTime of the API: RFC 3339 with six digits. */
export function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z')
}
