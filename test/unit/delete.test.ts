// The delete function beside what tests of the simulation do not meet: a user who edits the object meanwhile, and a fault of Dormouse.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import { type DeleteDeps, handleDelete } from '../../functions/delete/handler.ts'

const deletion = suite('the delete function')

const ID = 'ivd:11111111-1111-4111-8111-111111111111:22222222-2222-4222-8222-222222222222'
const aTurn = () => new Promise<void>((resolve) => setImmediate(resolve))
const about = { clusterId: 'mine', claim: 'tenant-b/data' }

deletion('a repository that an edit names afterwards is not opened', async () => {
  const cluster = new MemoryCluster({ clock: systemClock })
  const place = { name: 'd', namespace: 'tenant-b' }
  const spec = { snapshotID: ID, backupRepository: 'shared' }
  cluster.seed('DeleteSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'DeleteSnapshot',
    metadata: place,
    spec,
  })
  const opened: string[] = []
  let roots = [{ root: 'roots/s', session: 's', about }]
  const repositories = {
    rootsOf: async () => {
      const change = { spec: { backupRepository: 'for-app' } }
      await cluster.patch('DeleteSnapshot', { metadata: place } as LooseObject, change)
      for (let looks = 0; looks < 20; looks++) await aTurn() // meanwhile the lease's watch reads the object again
      return roots
    },
    forget: async () => {
      roots = []
      return true
    },
  }
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const deps = {
    cluster,
    volumes: new MemoryVolumes({ clock: systemClock }),
    repositories,
    access: async (name: string) => {
      opened.push(name)
      return {}
    },
    clock: { ...systemClock, sleep: aTurn },
    settings: readSettings({}),
    clusterId: async () => 'mine',
    stores,
    identity: 'pod',
    log,
  } as unknown as DeleteDeps
  const ref = { kind: 'DeleteSnapshot', ...place } as const
  assert.is(await handleDelete({} as Context, ref, deps, new AbortController().signal), 'Completed')
  assert.equal([...new Set(opened)], ['shared'])
})

deletion('a fault of Dormouse is logged with its stack, and the object waits', async () => {
  const cluster = new MemoryCluster({ clock: systemClock })
  const place = { name: 'd', namespace: 'velero' }
  cluster.seed('DeleteSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'DeleteSnapshot',
    metadata: place,
    spec: { snapshotID: ID, backupRepository: 'shared' },
  })
  const fault = new TypeError('Cannot read properties of undefined')
  const logged: unknown[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (fields: { err: unknown }) => void logged.push(fields.err) }
  const deps = {
    cluster,
    volumes: new MemoryVolumes({ clock: systemClock }),
    repositories: { rootsOf: () => Promise.reject(fault) },
    access: async () => ({}),
    clock: systemClock,
    settings: readSettings({}),
    clusterId: async () => 'mine',
    stores,
    identity: 'pod',
    log,
  } as unknown as DeleteDeps
  const ref = { kind: 'DeleteSnapshot', ...place } as const
  assert.is(await handleDelete({} as Context, ref, deps, new AbortController().signal), 'waits: InternalError')
  assert.equal(logged, [fault])
})

deletion.run()
