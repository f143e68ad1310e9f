// Which clone a claim belongs to: any user can write the label and the annotation that say so.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import type { Context } from '#shared/runtime/context.ts'
import { handleClone } from '../../functions/clone/handler.ts'

const claims = suite('a claim that names a clone')

for (const named of [
  '',
  'shop',
  'shop/',
  'shop/none',
  'shop/../velero',
  'shop/A name',
  'shop/x\0',
  'other/none',
  '/',
]) {
  claims(`${JSON.stringify(named)}: no clone is found, which is no error`, async () => {
    const cluster = new MemoryCluster({ clock: systemClock })
    cluster.seed('PersistentVolumeClaim', {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace: 'shop', annotations: { 'dormouse.dev/clone': named } },
      spec: {},
    })
    const ref = { kind: 'PersistentVolumeClaim', namespace: 'shop', name: 'data' } as const
    const deps = { cluster } as unknown as StepDeps
    assert.is(await handleClone({} as Context, ref, deps, new AbortController().signal), 'gone')
  })
}

claims.run()
