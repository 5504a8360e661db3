/** A small picture of the whole tree in a corner of the stage, as long as the stage shows only a part of it. */
import type { Colors } from './colors.ts'
import type { Scene, Size, View } from './draw.ts'
import { CARD, type Layout } from './layout.ts'

const MOST: Size = { width: 170, height: 130 }
const MARGIN = 10
/** Pixels of a card at least, so that it is seen. */
const DOT = 1.5

interface Picture {
  readonly layout: Layout
  readonly colors: Colors
  readonly image: HTMLCanvasElement
}

export interface Overview {
  readonly draw: (context: CanvasRenderingContext2D, scene: Scene, view: View, size: Size, colors: Colors) => void
  /** The point of the layout under a point of the stage; null where the picture is not. */
  readonly pointAt: (layout: Layout, view: View, size: Size, x: number, y: number) => readonly [number, number] | null
}

export function overview(): Overview {
  let picture: Picture | null = null
  return {
    draw: (context, scene, view, size, colors) => {
      const { layout } = scene
      if (isWhole(layout, view, size)) return
      if (picture?.layout !== layout || picture.colors !== colors) {
        picture = { layout, colors, image: paint(scene, colors) }
      }
      const { x: scaleX, y: scaleY, left, top, width, height } = place(layout, size)
      context.drawImage(picture.image, left, top, width, height)
      context.lineWidth = 1
      context.strokeStyle = colors.rule
      context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1)
      context.save()
      context.beginPath()
      context.rect(left, top, width, height)
      context.clip()
      context.lineWidth = 1.5
      context.strokeStyle = colors.ink
      const seen = {
        x: left + (-view.left / view.zoom) * scaleX,
        y: top + (-view.top / view.zoom) * scaleY,
        width: (size.width / view.zoom) * scaleX,
        height: (size.height / view.zoom) * scaleY,
      }
      context.strokeRect(seen.x, seen.y, Math.max(3, seen.width), Math.max(3, seen.height))
      context.restore()
    },
    pointAt: (layout, view, size, x, y) => {
      if (isWhole(layout, view, size)) return null
      const { x: scaleX, y: scaleY, left, top, width, height } = place(layout, size)
      const inside = x >= left && x <= left + width && y >= top && y <= top + height
      return inside ? [(x - left) / scaleX, (y - top) / scaleY] : null
    },
  }
}

function isWhole({ width, height }: Layout, { zoom, left, top }: View, size: Size): boolean {
  return left >= 0 && top >= 0 && left + width * zoom <= size.width && top + height * zoom <= size.height
}

/** A long tree is pressed together more in one direction than in the other. */
function place(
  { width, height }: Layout,
  size: Size,
): { readonly x: number; readonly y: number; readonly left: number; readonly top: number } & Size {
  const x = Math.min(0.2, MOST.width / width, size.width / 3 / width)
  const y = Math.min(0.2, MOST.height / height)
  const shown = { width: Math.max(20, width * x), height: Math.max(20, height * y) }
  return { x, y, ...shown, left: size.width - shown.width - MARGIN, top: size.height - shown.height - MARGIN }
}

function paint({ rows, shown, layout, chosen }: Scene, colors: Colors): HTMLCanvasElement {
  const image = document.createElement('canvas')
  const { x, y, width, height } = place(layout, { width: Number.POSITIVE_INFINITY, height: 0 })
  image.width = Math.ceil(width * devicePixelRatio)
  image.height = Math.ceil(height * devicePixelRatio)
  const context = image.getContext('2d')!
  context.scale(devicePixelRatio, devicePixelRatio)
  context.fillStyle = colors.raised
  context.fillRect(0, 0, width, height)
  const dot = (at: number, color: string, least: number): void => {
    context.fillStyle = color
    const [w, h] = [Math.max(least, CARD.width * x), Math.max(least, CARD.height * y)]
    context.fillRect(layout.x[at]! * x, layout.y[at]! * y, w, h)
  }
  for (const [at, { node }] of rows.entries()) {
    if (!shown.has[at]) continue
    context.globalAlpha = node.pruned ? 0.35 : 1
    dot(at, colors.of(node.scores.at(-1) ?? null), DOT)
  }
  context.globalAlpha = 1
  for (const at of chosen) dot(at, colors.accent, 2 * DOT)
  return image
}
