import { h } from './dom.ts'

const themes = ['auto', 'light', 'dark'] as const

/** Follows the system until somebody chooses. */
export function themeButton(): HTMLElement {
  let theme: (typeof themes)[number] = 'auto'
  const button = h(
    'button',
    {
      type: 'button',
      class: 'theme',
      click: () => {
        theme = themes[(themes.indexOf(theme) + 1) % themes.length]!
        document.documentElement.dataset.theme = theme
        button.textContent = `theme: ${theme}`
      },
    },
    'theme: auto',
  )
  return button
}
