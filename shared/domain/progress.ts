// Progress as people read it in `kubectl get`.

import { GiB, KiB, MiB } from '#shared/kernel/units.ts'

type ProgressView = { totalBytes: number; bytesDone: number; percent: number; summary: string }

export function progressView(bytesDone: number, totalBytes: number): ProgressView {
  const percent = totalBytes === 0 ? 100 : Math.min(100, Math.floor((100 * bytesDone) / totalBytes))
  return { totalBytes, bytesDone, percent, summary: `${sizeText(bytesDone)} of ${sizeText(totalBytes)}` }
}

/** One decimal and a binary unit: `1.5 GiB`. */
export function sizeText(bytes: number): string {
  for (const [unit, name] of [
    [1024 * GiB, 'TiB'],
    [GiB, 'GiB'],
    [MiB, 'MiB'],
    [KiB, 'KiB'],
  ] as const) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(bytes >= 100 * unit ? 0 : 1)} ${name}`
  }
  return `${bytes} B`
}
