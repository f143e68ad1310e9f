// The messages between Velero and a plugin: field names, numbers and types as in Velero's pkg/plugin/proto, go-plugin's
// internal/plugin and grpc.health.v1. The decoder skips a field that is not named here.

const STRING = 'string'

/** The answer of all three kinds of action to AppliesTo. */
const APPLIES_TO_RESPONSE = { ResourceSelector: [1, 'generated.ResourceSelector'] } as const

export const MESSAGES = {
  'generated.Empty': {},
  'generated.Stack': { frames: [1, 'generated.StackFrame', 'repeated'] },
  'generated.StackFrame': { file: [1, STRING], line: [2, 'int32'], function: [3, STRING] },
  'generated.ResourceIdentifier': {
    group: [1, STRING],
    resource: [2, STRING],
    namespace: [3, STRING],
    name: [4, STRING],
  },
  'generated.ResourceSelector': {
    includedNamespaces: [1, STRING, 'repeated'],
    excludedNamespaces: [2, STRING, 'repeated'],
    includedResources: [3, STRING, 'repeated'],
    excludedResources: [4, STRING, 'repeated'],
    selector: [5, STRING],
  },
  'generated.OperationProgress': {
    completed: [1, 'bool'],
    err: [2, STRING],
    nCompleted: [3, 'int64'],
    nTotal: [4, 'int64'],
    operationUnits: [5, STRING],
    description: [6, STRING],
    started: [7, 'google.protobuf.Timestamp'],
    updated: [8, 'google.protobuf.Timestamp'],
  },
  'generated.PluginIdentifier': { command: [1, STRING], kind: [2, STRING], name: [3, STRING] },
  'generated.ListPluginsResponse': { plugins: [1, 'generated.PluginIdentifier', 'repeated'] },
  'generated.DeleteItemActionExecuteRequest': { plugin: [1, STRING], item: [2, 'bytes'], backup: [3, 'bytes'] },
  'generated.DeleteItemActionAppliesToRequest': { plugin: [1, STRING] },
  'generated.DeleteItemActionAppliesToResponse': APPLIES_TO_RESPONSE,

  'generated.VolumeSnapshotterInitRequest': { plugin: [1, STRING] },
  'generated.GetVolumeIDRequest': { plugin: [1, STRING] },
  'generated.GetVolumeIDResponse': { volumeID: [1, STRING] },
  'generated.CreateVolumeRequest': { plugin: [1, STRING], snapshotID: [2, STRING] },
  'generated.CreateVolumeResponse': {},
  'generated.DeleteSnapshotRequest': { plugin: [1, STRING], snapshotID: [2, STRING] },

  'v2.ExecuteRequest': { plugin: [1, STRING], item: [2, 'bytes'], backup: [3, 'bytes'] },
  'v2.ExecuteResponse': {
    item: [1, 'bytes'],
    additionalItems: [2, 'generated.ResourceIdentifier', 'repeated'],
    operationID: [3, STRING],
    postOperationItems: [4, 'generated.ResourceIdentifier', 'repeated'],
  },
  'v2.BackupItemActionAppliesToRequest': { plugin: [1, STRING] },
  'v2.BackupItemActionAppliesToResponse': APPLIES_TO_RESPONSE,
  'v2.BackupItemActionProgressRequest': { plugin: [1, STRING], operationID: [2, STRING], backup: [3, 'bytes'] },
  'v2.BackupItemActionProgressResponse': { progress: [1, 'generated.OperationProgress'] },
  'v2.BackupItemActionCancelRequest': { plugin: [1, STRING], operationID: [2, STRING], backup: [3, 'bytes'] },

  'v2.RestoreItemActionExecuteRequest': {
    plugin: [1, STRING],
    item: [2, 'bytes'],
    restore: [3, 'bytes'],
    itemFromBackup: [4, 'bytes'],
  },
  'v2.RestoreItemActionExecuteResponse': {
    item: [1, 'bytes'],
    additionalItems: [2, 'generated.ResourceIdentifier', 'repeated'],
    skipRestore: [3, 'bool'],
    operationID: [4, STRING],
    waitForAdditionalItems: [5, 'bool'],
    additionalItemsReadyTimeout: [6, 'google.protobuf.Duration'],
  },
  'v2.RestoreItemActionAppliesToRequest': { plugin: [1, STRING] },
  'v2.RestoreItemActionAppliesToResponse': APPLIES_TO_RESPONSE,
  'v2.RestoreItemActionProgressRequest': { plugin: [1, STRING], operationID: [2, STRING], restore: [3, 'bytes'] },
  'v2.RestoreItemActionProgressResponse': { progress: [1, 'generated.OperationProgress'] },
  'v2.RestoreItemActionCancelRequest': { plugin: [1, STRING], operationID: [2, STRING], restore: [3, 'bytes'] },
  'v2.RestoreItemActionItemsReadyRequest': {
    plugin: [1, STRING],
    restore: [2, 'bytes'],
    additionalItems: [3, 'generated.ResourceIdentifier', 'repeated'],
  },
  'v2.RestoreItemActionItemsReadyResponse': { ready: [1, 'bool'] },

  'google.protobuf.Empty': {},
  'google.protobuf.Timestamp': { seconds: [1, 'int64'], nanos: [2, 'int32'] },
  'google.protobuf.Duration': { seconds: [1, 'int64'], nanos: [2, 'int32'] },
  'google.protobuf.Any': { type_url: [1, STRING], value: [2, 'bytes'] },
  'google.rpc.Status': { code: [1, 'int32'], message: [2, STRING], details: [3, 'google.protobuf.Any', 'repeated'] },

  'grpc.health.v1.HealthCheckRequest': { service: [1, STRING] },
  'grpc.health.v1.HealthCheckResponse': { status: [1, 'int32'] },
  'plugin.Empty': {},
} as const satisfies Record<string, Record<string, FieldSpec>>

type FieldSpec = readonly [number: number, type: string] | readonly [number: number, type: string, 'repeated']
type Scalars = { string: string; bytes: Uint8Array; bool: boolean; int32: number; int64: number }

export type MessageName = keyof typeof MESSAGES

/** A message as a plain object; every field is there. */
export type Message<Name extends MessageName> = {
  [Field in keyof (typeof MESSAGES)[Name]]: FieldValue<(typeof MESSAGES)[Name][Field]>
}

type FieldValue<Spec> = Spec extends readonly [number, infer Type, 'repeated']
  ? OneValue<Type>[]
  : Spec extends readonly [number, infer Type]
    ? OneValue<Type>
    : never

type OneValue<Type> = Type extends keyof Scalars ? Scalars[Type] : Type extends MessageName ? Message<Type> : never
