// One colour for each step, the same on the video, in the charts and in the table.

const COLOURS = ["#8b98a9", "#f59e0b", "#0ea5e9", "#a855f7", "#22c55e", "#ef4444", "#14b8a6", "#ec4899", "#6366f1"];

/** Step 0 is grey; the others go round the rest. */
export const colourOf = (step) => (step === 0 ? COLOURS[0] : COLOURS[1 + ((step - 1) % (COLOURS.length - 1))]);
