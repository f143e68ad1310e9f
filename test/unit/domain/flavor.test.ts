// Row 46 of docs/acceptance.md: the cluster's flavour from the ConfigMap, the CSI controller, or the default.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { detectFlavor, requireOwnDisks } from '#shared/domain/flavor.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const config = (flavor?: string): LooseObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'velero-vsphere-plugin-config' },
  data: flavor === undefined ? {} : { cluster_flavor: flavor },
})
const controller = (value?: string): LooseObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'vsphere-csi-controller' },
  spec: {
    template: {
      spec: {
        containers: [
          { name: 'vsphere-csi-controller', env: value === undefined ? [] : [{ name: 'CLUSTER_FLAVOR', value }] },
        ],
      },
    },
  },
})

test('the ConfigMap decides before the CSI controller does', () => {
  assert.is(detectFlavor(config('GUEST'), controller('WORKLOAD')), 'GUEST')
})

test("the CSI controller's environment decides when the ConfigMap is silent", () => {
  assert.is(detectFlavor(config(), controller('WORKLOAD')), 'SUPERVISOR')
  assert.is(detectFlavor(undefined, controller('GUEST_CLUSTER')), 'GUEST')
})

test('without either it is vanilla', () => {
  assert.is(detectFlavor(undefined, undefined), 'VANILLA')
  assert.is(detectFlavor(config(), controller()), 'VANILLA')
})

test('a flavour that is none is an error, not vanilla', () => {
  assert.throws(() => detectFlavor(config('guest'), undefined), /cluster_flavor is "guest"/)
})

test('a guest cluster is refused by name', () => {
  assert.throws(
    () => requireOwnDisks('GUEST'),
    (error: unknown) => error instanceof TerminalError,
  )
  assert.not.throws(() => requireOwnDisks('SUPERVISOR'))
})

test.run()
