// Counts the requests of N uploads that become due at once while all slots are in use, and then get their turns one by one.

import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { Permits, type TransferDeps } from '#shared/controllers/deps.ts'
import { giveSlot, withSlot } from '#shared/controllers/slots.ts'
import { slotHolder } from '#shared/domain/slots.ts'
import { readSettings } from '#shared/kernel/env.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { stores } from '#test/support/stores.ts'

export type Cost = { requests: number; objects: number }
type QueueCost = { uploads: number; queueing: Cost; draining: Cost }

/** The size of the API server's pages. */
const PAGE_OBJECTS = 128

export async function measureQueue(uploads: number): Promise<QueueCost> {
  let nowMs = Date.parse('2026-11-30T12:00:00Z')
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined }
  const memory = new MemoryCluster({ clock, pageObjects: PAGE_OBJECTS })
  const cost: Cost = { requests: 0, objects: 0 }
  const deps = {
    cluster: counted(memory, cost),
    clock,
    settings: readSettings({}),
    stores,
    identity: 'pod',
    log: { debug() {}, info() {}, warn() {}, error() {} },
    permits: new Permits(2),
  } as unknown as TransferDeps
  const names = Array.from({ length: uploads }, (_, index) => `u-${index}`)
  for (const name of names) {
    nowMs += 10
    memory.seed('Upload', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Upload',
      metadata: { name, namespace: 'velero', labels: { 'dormouse.dev/step': 'upload' } },
      spec: { snapshotReference: 'shop/s' },
    })
  }
  const peek = (name: string) => memory.peek('Upload', 'velero', name)!
  const start = (name: string) => withSlot({ deps, object: peek(name) }, async () => 'runs')
  for (const name of names) await start(name)
  const queueing = { ...cost }
  Object.assign(cost, { requests: 0, objects: 0 })
  const byHolder = new Map(names.map((name) => [slotHolder(peek(name)), name]))
  for (let ended = 0; ended < uploads; ended++) {
    const [holder] = memory.peekAll('Lease').flatMap((lease) => lease['spec']?.holderIdentity ?? [])
    const upload = peek(byHolder.get(holder ?? '') ?? '')
    await start(upload.metadata.name)
    const metadata = { labels: { 'dormouse.dev/step': 'done' } }
    await giveSlot(deps, await memory.patch('Upload', peek(upload.metadata.name), { metadata }))
  }
  return { uploads, queueing, draining: { ...cost } }
}

function counted(cluster: MemoryCluster, cost: Cost): Cluster {
  const count = async <T>(act: Promise<T>, objects: (answer: T) => number): Promise<T> => {
    const answer = await act
    cost.requests++
    cost.objects += objects(answer)
    return answer
  }
  return {
    nowMs: () => cluster.nowMs(),
    read: (...args) => count(cluster.read(...args), () => 1),
    list: (...args) => count(cluster.list(...args), (found) => found.length),
    page: (...args) => count(cluster.page(...args), (page) => page.objects.length),
    create: (...args) => count(cluster.create(...args), () => 0),
    patch: (...args) => count(cluster.patch(...args), () => 0),
    patchStatus: (...args) => count(cluster.patchStatus(...args), () => 0),
    delete: (...args) => count(cluster.delete(...args), () => 0),
  }
}
