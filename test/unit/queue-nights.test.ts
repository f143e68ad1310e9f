// Nights that end before every volume had a transfer slot: Velero cancels the remaining uploads, and asks for the same volumes in the same order
// the next night. The queue, its slots and the code that makes an Upload are the real ones; moving data is only a count of slices.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { Permits, type TransferDeps } from '#shared/controllers/deps.ts'
import { giveSlot, withSlot } from '#shared/controllers/slots.ts'
import {
  queuedSince,
  STOOD_ASIDE_ANNOTATION,
  standsAside,
  WAITING_SINCE_ANNOTATION,
  waitsSince,
} from '#shared/domain/waited-in-vain.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import { ensureUpload } from '../../functions/snapshot/take.ts'

const nights = suite('nights that are too short')
const NIGHT_MS = 4 * HOUR_MS
const SLICE_MS = 5 * MINUTE_MS

/** `slices`: how many slices each of its backups takes. */
type Volume = { name: string; tenant: string; slices: number }
type Outcome = { moved: Set<string>; completed: Set<string>; slices: Map<string, number>; mostAtOnce: number }

class Nights {
  readonly cluster: MemoryCluster
  readonly deps: TransferDeps
  readonly volumes: readonly Volume[]
  nowMs = Date.parse('2026-11-21T00:00:00Z')
  #uids = 0
  #nights = 0

  constructor(movers: number, volumes: readonly Volume[]) {
    this.volumes = volumes
    const clock = { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs, sleep: async () => undefined }
    const newUid = () => `00000000-0000-4000-8000-${String(++this.#uids).padStart(12, '0')}`
    this.cluster = new MemoryCluster({ clock, newUid })
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const settings = readSettings({ DORMOUSE_MOVERS: String(movers) })
    const permits = new Permits(1000)
    this.deps = {
      cluster: this.cluster,
      clock,
      settings,
      stores,
      identity: 'pod',
      log,
      permits,
    } as unknown as TransferDeps
  }

  async pass(): Promise<Outcome> {
    const night = ++this.#nights
    const outcome: Outcome = { moved: new Set(), completed: new Set(), slices: new Map(), mostAtOnce: 0 }
    const endMs = this.nowMs + NIGHT_MS
    for (const volume of this.volumes) {
      await this.#ask(volume, night)
      await this.#round(outcome) // each starts at once if it can: a slot may be taken before the next one is asked for
      this.nowMs += 1000
    }
    while (this.nowMs < endMs && outcome.completed.size < this.volumes.length) {
      this.nowMs += SLICE_MS
      await this.#round(outcome)
    }
    for (const upload of this.#open()) await this.#end(upload, 'Canceled')
    this.nowMs = endMs - NIGHT_MS + DAY_MS
    return outcome
  }

  async #ask({ name, tenant }: Volume, night: number): Promise<void> {
    const snapshot = this.cluster.seed('Snapshot', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'Snapshot',
      metadata: { name: `night-${night}-${name}`, namespace: tenant },
      spec: { resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name }, backupRepository: 'br' },
    })
    await ensureUpload(this.deps, snapshot, { fcdId: name, snapshotId: `${name}-${night}` }, undefined)
  }

  #open(): LooseObject[] {
    return this.cluster.peekAll('Upload').filter(({ status }) => !/Completed|Canceled/.test(status?.phase ?? ''))
  }

  /** Each upload that is due gets the time of one slice. */
  async #round(outcome: Outcome): Promise<void> {
    const due = this.#open().filter(({ metadata }) => metadata.labels?.['dormouse.dev/step'] !== 'queued')
    const done: LooseObject[] = []
    for (const upload of due)
      await withSlot({ deps: this.deps, object: upload }, async () => {
        const slice = Number(upload['status'].slice ?? 0) + 1
        const change = {
          metadata: { labels: { 'dormouse.dev/step': 'upload' } },
          status: { phase: 'InProgress', slice },
        }
        const moved = await this.cluster.patch('Upload', upload, change)
        const name = nameOf(upload)
        outcome.moved.add(name)
        outcome.slices.set(name, (outcome.slices.get(name) ?? 0) + 1)
        if (slice >= this.volumes.find((volume) => volume.name === name)!.slices) done.push(moved)
        return 'moved'
      })
    outcome.mostAtOnce = Math.max(outcome.mostAtOnce, this.#held())
    for (const upload of done) {
      outcome.completed.add(nameOf(upload))
      await this.#end(upload, 'Completed')
    }
  }

  #held(): number {
    return this.cluster.peekAll('Lease').filter((lease) => lease['spec']?.holderIdentity).length
  }

  async #end(upload: LooseObject, phase: string): Promise<void> {
    const fresh = this.cluster.peek('Upload', 'velero', upload.metadata.name)!
    const status = { phase, completionTimestamp: rfc3339(this.nowMs) }
    const metadata = { labels: { 'dormouse.dev/step': 'done' } }
    await giveSlot(this.deps, await this.cluster.patch('Upload', fresh, { metadata, status }))
  }
}

const nameOf = (upload: LooseObject): string => upload.metadata.labels?.['dormouse.dev/disk'] ?? ''

for (const tenants of [
  ['a', 'a', 'a'],
  ['a', 'b', 'c'],
])
  nights(
    `a volume that is always asked for last has its turn, behind one that takes all night: ${tenants}`,
    async () => {
      const [one = '', two = '', three = ''] = tenants
      const world = new Nights(1, [
        { name: 'hog', tenant: one, slices: 1000 },
        { name: 'small', tenant: two, slices: 2 },
        { name: 'other', tenant: three, slices: 2 },
      ])
      const first = await world.pass()
      assert.equal([...first.completed], [], 'the hog has the slot all night')
      const second = await world.pass()
      assert.equal([...second.completed].sort(), ['other', 'small'])
      assert.ok(second.moved.has('hog'))
      assert.is(Math.max(first.mostAtOnce, second.mostAtOnce), 1)
    },
  )

nights(
  'of thirty volumes that need more than a night together each has its turn, in each order of their sizes',
  async () => {
    for (const sizes of [
      (n: number) => (n < 2 ? 1000 : 1),
      (n: number) => (n < 20 ? 40 : 3),
      (n: number) => 10 + (n % 7) * 9,
    ]) {
      const volumes = Array.from({ length: 30 }, (_, n) => ({ name: `v${n}`, tenant: `t${n % 3}`, slices: sizes(n) }))
      const world = new Nights(2, volumes)
      const served = new Set<string>()
      let passes = 0
      for (; served.size < volumes.length && passes < 40; passes++) {
        const { moved, mostAtOnce } = await world.pass()
        for (const name of moved) served.add(name)
        assert.ok(mostAtOnce <= 2)
      }
      assert.is(
        served.size,
        volumes.length,
        `${passes} nights: ${volumes.filter(({ name }) => !served.has(name)).length} never`,
      )
    }
  },
)

nights('eight volumes of another namespace that waited in vain leave one volume its half of the time', async () => {
  const evil = Array.from({ length: 8 }, (_, n) => ({ name: `e${n}`, tenant: 'evil', slices: 11 }))
  const world = new Nights(1, [{ name: 'victim', tenant: 'good', slices: 1000 }, ...evil])
  await world.pass()
  for (let night = 2; night < 4; night++) {
    const { slices } = await world.pass()
    const all = [...slices.values()].reduce((sum, count) => sum + count, 0)
    assert.ok(slices.get('victim')! >= all / 2 - 1, `night ${night}: ${slices.get('victim')} of ${all} slices`)
  }
})

nights('volumes of one namespace complete beside another one that has more than a night can do', async () => {
  const many = Array.from({ length: 8 }, (_, n) => ({ name: `w${n}`, tenant: 'w', slices: 24 }))
  const few = ['a0', 'a1'].map((name) => ({ name, tenant: 'a', slices: 6 }))
  for (const volumes of [
    [...many, ...few],
    [...few, ...many],
  ]) {
    const world = new Nights(1, volumes)
    await world.pass()
    // After a part of a night, a volume no longer goes before the others: both need two nights at most.
    const completed = new Set([...(await world.pass()).completed, ...(await world.pass()).completed])
    assert.ok(completed.has('a0') && completed.has('a1'), [...completed].join())
  }
})

const upload = (created: string, status: object, since?: string): LooseObject => ({
  apiVersion: '',
  kind: 'Upload',
  metadata: {
    name: 'u',
    creationTimestamp: created,
    annotations: since === undefined ? {} : { [WAITING_SINCE_ANNOTATION]: since },
  },
  status,
})
const canceled = { phase: 'Canceled', completionTimestamp: '2026-11-21T04:00:00Z' }

nights('a disk waits since the first night of a row in which it had no slot', () => {
  const [first, second] = ['2026-11-20T00:00:00Z', '2026-11-21T00:00:00Z']
  assert.is(waitsSince([upload(second, canceled)]), second)
  assert.is(waitsSince([upload(second, canceled, first)]), first)
  assert.is(waitsSince([upload(second, canceled, first), upload(first, canceled)]), first)
})

nights('an upload that had a slot, was stopped within an hour or ended otherwise keeps no place', () => {
  const created = '2026-11-21T00:00:00Z'
  assert.is(waitsSince([]), undefined)
  assert.is(waitsSince([upload(created, { ...canceled, slice: 1 })]), undefined)
  assert.is(waitsSince([upload(created, { ...canceled, completionTimestamp: '2026-11-21T00:59:59Z' })]), undefined)
  assert.is(waitsSince([upload(created, { phase: 'UploadFailedAfterRetry' })]), undefined)
  const later = upload('2026-11-22T00:00:00Z', { phase: 'Completed' })
  assert.is(waitsSince([later, upload(created, canceled)]), undefined)
})

nights('an upload that had a slot and made room keeps a place', () => {
  const created = '2026-11-21T00:00:00Z'
  const aside = upload(created, { ...canceled, slice: 3 })
  aside.metadata.annotations![STOOD_ASIDE_ANNOTATION] = '2'
  assert.is(waitsSince([aside]), created)
})

nights('an upload makes room for another namespace only while that has fewer slots, and after a slice', () => {
  const other = upload('2026-11-22T00:00:00Z', {}, '2026-11-21T00:00:00Z')
  other['spec'] = { snapshotReference: 'b/snap' }
  const mover = (slice: number) => ({
    ...upload('2026-11-22T00:00:00Z', { slice }),
    spec: { snapshotReference: 'a/snap' },
  })
  const slots = (a: number, b: number) => ({ waiting: [other], slotsOf: (tenant: string) => (tenant === 'a' ? a : b) })
  assert.is(standsAside(mover(1), slots(1, 0)), true)
  assert.is(standsAside(mover(1), slots(1, 1)), false)
  assert.is(standsAside(mover(0), slots(1, 0)), false)
})

nights('an invalid waiting time, or one after the creation, is ignored', () => {
  const created = '2026-11-21T00:00:00Z'
  for (const since of ['', 'soon', '2026-11-22T00:00:00Z', '2026-11-20T00:00:00+02:00', ' 2026-11-20T00:00:00Z'])
    assert.is(queuedSince(upload(created, {}, since)), created, since)
})

nights.run()
