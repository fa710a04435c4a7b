"""Where frames come from: live cameras, video files, folders of part photographs."""
