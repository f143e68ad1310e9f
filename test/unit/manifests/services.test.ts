// The functions' manifests name things that exist, and set the values for which Knative's defaults would be wrong.

import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { decodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { readSettings } from '#shared/kernel/env.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { FUNCTIONS, forgottenFiles, HEAVY, named, objectsIn, ofKind } from './load.ts'

const objects = objectsIn('config')
const functions = ofKind(objects, 'Service')
const settings = named(objects, 'ConfigMap', 'dormouse-config')['data'] as Record<string, string>
const services = suite('config/services')

function specOf(step: string): LooseObject {
  return named(functions, 'Service', `dormouse-${step}`)['spec'].template.spec
}

function annotationsOf(step: string): Record<string, string> {
  return named(functions, 'Service', `dormouse-${step}`)['spec'].template.metadata.annotations
}

services('every file is named in the kustomization beside it', () => {
  // The feature flags are a patch for Knative's own ConfigMap, not an object of ours.
  assert.equal(forgottenFiles('config'), ['config/knative-features.yaml'])
  assert.equal(forgottenFiles('eventing'), [])
})

services('there is one service for each function, reached inside of the cluster only', () => {
  assert.equal(
    functions.map(({ metadata }) => metadata.name).sort(),
    FUNCTIONS.map((step) => `dormouse-${step}`),
  )
  for (const { metadata } of functions) {
    assert.is(metadata.namespace, 'velero')
    assert.is(metadata.labels?.['networking.knative.dev/visibility'], 'cluster-local')
  }
})

for (const step of FUNCTIONS) {
  services(`${step} runs as its own ServiceAccount, with settings that exist`, () => {
    named(objects, 'ServiceAccount', `dormouse-${step}`)
    assert.is(specOf(step)['serviceAccountName'], `dormouse-${step}`)
    const [container] = specOf(step)['containers']
    for (const { configMapRef } of container.envFrom) {
      if (configMapRef.optional !== true) named(objects, 'ConfigMap', configMapRef.name)
    }
    assert.equal(container.command, ['node', `/dormouse/dormouse-${step}.mjs`])
  })

  services(`${step} sleeps when there is nothing to do, and has a bound on its pods`, () => {
    assert.is(annotationsOf(step)['autoscaling.knative.dev/min-scale'], '0')
    assert.match(annotationsOf(step)['autoscaling.knative.dev/max-scale'] ?? '', /^[1-9]\d*$/)
  })

  services(`${step} has no more rights in its container than it needs`, () => {
    const { securityContext } = specOf(step)['containers'][0]
    assert.is(securityContext.allowPrivilegeEscalation, false)
    assert.is(securityContext.readOnlyRootFilesystem, true)
    assert.is(securityContext.runAsNonRoot, true)
    assert.equal(securityContext.capabilities, { drop: ['ALL'] })
  })

  // Knative sets the second limit to 300 when only the first is larger, and a slice then ends half-way.
  services(`${step} has both time limits where one is above 300 s`, () => {
    const { timeoutSeconds, responseStartTimeoutSeconds } = specOf(step)
    assert.ok(timeoutSeconds <= 300 || responseStartTimeoutSeconds === timeoutSeconds)
    assert.ok(timeoutSeconds <= 600)
  })
}

for (const step of HEAVY) {
  services(`${step} runs where the VDDK is, which it can only read`, () => {
    const { nodeSelector, volumes, containers } = specOf(step)
    assert.equal(nodeSelector, { 'dormouse.dev/vddk': 'true' })
    const mount = containers[0].volumeMounts.find(({ name }: { name: string }) => name === 'vddk')
    assert.is(mount.readOnly, true)
    assert.ok(volumes.some(({ name, hostPath }: { name: string; hostPath?: object }) => name === 'vddk' && hostPath))
    assert.ok(
      containers[0].env.some(
        ({ name, value }: Record<string, string>) => name === 'DORMOUSE_VDDK_DIR' && value === mount.mountPath,
      ),
    )
  })

  services(`${step} has room for a slice, its mover, and as many pods as transfers`, () => {
    const [container] = specOf(step)['containers']
    assert.ok(specOf(step)['timeoutSeconds'] >= Number(settings['DORMOUSE_SLICE_SECONDS']) + 120)
    assert.is(container.resources.limits.memory, `${Number(settings['DORMOUSE_MEMORY_MIB']) + 128}Mi`)
    const pods = Number(settings['DORMOUSE_MOVERS'])
    assert.is(annotationsOf(step)['autoscaling.knative.dev/max-scale'], String(pods))
  })

  services(`${step} never queues an event behind a running slice`, () => {
    assert.is(specOf(step)['containerConcurrency'], 0)
    assert.is(annotationsOf(step)['autoscaling.knative.dev/target'], '1')
  })
}

services('the ConfigMap shows the defaults', () => {
  assert.equal({ ...readSettings(settings), functionUrlTemplate: undefined }, readSettings({}))
})

services('every setting of the code is in a manifest', () => {
  const known = new Set(readFileSync('shared/kernel/env.ts', 'utf8').match(/DORMOUSE_[A-Z_]+/g))
  const broker = ofKind(objectsIn('eventing/brokers'), 'ConfigMap').flatMap(({ data }) => Object.keys(data ?? {}))
  const shown = new Set([...Object.keys(settings), ...broker, 'DORMOUSE_VDDK_DIR'])
  assert.equal(
    [...known].filter((name) => !shown.has(name)),
    [],
  )
  assert.equal(
    Object.keys(settings).filter((name) => !known.has(name)),
    [],
  )
})

services('the feature flags are the ones that the services need', () => {
  const wanted = new Set(
    functions.flatMap(({ spec }) => {
      const text = JSON.stringify(spec.template.spec)
      const fields = {
        fieldRef: 'fieldref',
        nodeSelector: 'nodeselector',
        tolerations: 'tolerations',
        hostPath: 'volumes-hostpath',
      }
      return Object.entries(fields).flatMap(([field, flag]) =>
        text.includes(`"${field}"`) ? [`kubernetes.podspec-${flag}`] : [],
      )
    }),
  )
  const { data } = parse(readFileSync('config/knative-features.yaml', 'utf8'))
  assert.equal(Object.keys(data).sort(), [...wanted].sort())
})

services('the samples are of kinds that are served, and the claim in them can be read', () => {
  const samples = objectsIn('config/samples').filter(({ kind }) => kind !== 'ClusterRole')
  assert.is(samples.length, 4)
  for (const { kind, apiVersion } of samples) assert.is(apiVersion, KINDS[kind as KindName].apiVersion)
  const claim = decodeClaimMetadata(named(samples, 'CloneFromSnapshot', 'orders-again')['spec'].metadata)
  assert.equal(
    [claim.metadata.namespace, claim.metadata.name, claim['spec'].storageClassName],
    ['shop', 'orders', 'fast'],
  )
})

services.run()
