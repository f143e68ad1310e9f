// Access modes as a set: their order has no meaning.

const POD = 'ReadWriteOncePod'
const ONCE = 'ReadWriteOnce'
const KNOWN = [ONCE, 'ReadOnlyMany', 'ReadWriteMany', POD]

export function knownModes(modes: unknown): string[] {
  return Array.isArray(modes) ? KNOWN.filter((mode) => modes.includes(mode)) : []
}

/** The mode by which one node writes to the volume, as to a disk that can have snapshots; undefined: there is none. */
export function writerMode(modes: unknown): string | undefined {
  return [POD, ONCE].find((mode) => knownModes(modes).includes(mode))
}

/**
 * The mode to request for a new disk. Other modes of the set are never requested: for each of them vSphere's CSI driver makes a file share
 * (vsphere-csi-driver, pkg/csi/service/common, IsFileVolumeRequest).
 */
export function diskModes(modes: unknown): string[] {
  return [writerMode(modes) ?? ONCE]
}

/** The union of these sets. Kubernetes accepts ReadWriteOncePod only alone; the claim, which comes first, decides whether it applies. */
export function joinedModes(ofClaim: unknown, ...others: unknown[]): string[] {
  if (writerMode(ofClaim) === POD) return [POD]
  const all = [ofClaim, ...others].flatMap(knownModes)
  return knownModes(all).filter((mode) => mode !== POD)
}
